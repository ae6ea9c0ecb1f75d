"""The errors a user can cause; each is one line that says what to do."""

from __future__ import annotations

from collections.abc import Iterable


class WorldweaveError(Exception):
    """A user's mistake or a missing thing; shown as one line, exit code 2."""


class Problems(WorldweaveError):  # noqa: N818 -- several errors, not one
    """Everything that is wrong with one request, so it can be mended at once."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "\n".join(self.problems)


class PluginError(WorldweaveError):
    """Base of every error about plugins and what they supply."""


class DescriptionError(PluginError, ValueError):
    """A description has a value it cannot have, such as a negative size."""


class UnknownModalityError(PluginError, LookupError):
    """No installed plugin supplies this modality."""


class AmbiguousModalityError(PluginError, LookupError):
    """More than one installed plugin supplies this modality."""


class UnavailableModalityError(PluginError, LookupError):
    """The plugin of this modality is disabled, outdated or broken."""


class UnknownBaseError(PluginError, LookupError):
    """No installed plugin supplies this base."""


class AmbiguousBaseError(PluginError, LookupError):
    """More than one installed plugin supplies this base."""


class UnavailableBaseError(PluginError, LookupError):
    """The plugin of this base is disabled, outdated or broken."""


class WeightsError(WorldweaveError):
    """A checkpoint is missing, damaged or does not fit."""


class LicenseError(WorldweaveError):
    """A licence is not among those the user allows, or what lists these is wrong."""


def let_interrupts_pass(error: BaseException) -> None:
    """Raise *error* again where it stops the program and not a plugin.

    For handlers of whatever somebody else's code may raise: besides exceptions that
    is `SystemExit`, and what libraries derive from BaseException, such as the panics
    of extensions written in Rust.
    """
    if isinstance(error, KeyboardInterrupt):
        raise error
