"""The conformance kit for authors of plugins; every name is loaded on first use.

ModalityContract: the checks as a test class. only_plugins: hide other plugins from a
test. CHECKS: every check, in order. Subject: the modality under test; Examination:
its Verdicts, each with an Outcome. Check, define_check, fail and NotApplicable: to
write further checks. video, inputs, SMALL and OTHER: tiny inputs, and the sizes of two
tiny bases.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from worldweave.testing.checks import CHECKS
    from worldweave.testing.contract import ModalityContract
    from worldweave.testing.examination import examine
    from worldweave.testing.installed import only_plugins
    from worldweave.testing.kit import Check, Examination, Outcome, Verdict, fail
    from worldweave.testing.kit import check as define_check
    from worldweave.testing.subject import (
        OTHER,
        SMALL,
        NotApplicable,
        Subject,
        inputs,
        video,
    )

__all__ = [
    "CHECKS",
    "OTHER",
    "SMALL",
    "Check",
    "Examination",
    "ModalityContract",
    "NotApplicable",
    "Outcome",
    "Subject",
    "Verdict",
    "define_check",
    "examine",
    "fail",
    "inputs",
    "only_plugins",
    "video",
]

_HOME = {
    "CHECKS": "worldweave.testing.checks:CHECKS",
    "OTHER": "worldweave.testing.subject:OTHER",
    "SMALL": "worldweave.testing.subject:SMALL",
    "Check": "worldweave.testing.kit:Check",
    "Examination": "worldweave.testing.kit:Examination",
    "ModalityContract": "worldweave.testing.contract:ModalityContract",
    "NotApplicable": "worldweave.testing.subject:NotApplicable",
    "Outcome": "worldweave.testing.kit:Outcome",
    "Subject": "worldweave.testing.subject:Subject",
    "Verdict": "worldweave.testing.kit:Verdict",
    # In the kit it is called as what stands above a function; here as what it does.
    "define_check": "worldweave.testing.kit:check",
    "examine": "worldweave.testing.examination:examine",
    "fail": "worldweave.testing.kit:fail",
    "inputs": "worldweave.testing.subject:inputs",
    "only_plugins": "worldweave.testing.installed:only_plugins",
    "video": "worldweave.testing.subject:video",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name not in _HOME:
        raise AttributeError(f"module 'worldweave.testing' has no attribute {name!r}")
    module, _, its_name = _HOME[name].partition(":")
    value = getattr(import_module(module), its_name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
