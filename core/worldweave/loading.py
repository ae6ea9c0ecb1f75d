"""From descriptions to models: the base once, and only the branches asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor

from worldweave.base import Autoencoder, TextEncoder
from worldweave.blame import blamed
from worldweave.checkpoints import store
from worldweave.executor import Alone, Executor
from worldweave.model.branch import ControlBranch
from worldweave.model.config import DiTConfig
from worldweave.model.dit import DiT
from worldweave.request.sources import OF_THE_BASE
from worldweave_registry import (
    Base,
    Lazy,
    Modality,
    PluginError,
    Weights,
    WeightsError,
    WorldweaveError,
    let_interrupts_pass,
    one_line,
    resolve,
)

COMPAT = "cosmos-transfer1"


@attrs.frozen(kw_only=True)
class Placement:
    """Where models live and in which precision they compute."""

    device: torch.device
    dtype: torch.dtype


def usable_device(asked: str | torch.device | None) -> torch.device:
    """Return the device to compute on; None: a GPU where there is one.

    Raise WorldweaveError where torch cannot compute there.
    """
    if asked is None:
        asked = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        # meta and the like accept tensors but cannot give them back.
        torch.zeros(1, device=asked).tolist()
    except Exception as error:
        raise WorldweaveError(
            f"cannot compute on device {str(asked)!r} ({one_line(error)[:120]}); give "
            "cpu, or cuda where there is a GPU"
        ) from error
    return torch.device(asked)


@attrs.frozen(kw_only=True, eq=False)
class LoadedBase:
    """A base in memory: the frozen DiT and what belongs to it."""

    description: Base
    config: DiTConfig
    dit: DiT
    autoencoder: Autoencoder
    text_encoder: TextEncoder
    placement: Placement
    files: dict[str, Path]
    compat: str | None
    executor: Executor = attrs.field(factory=Alone)


class NoTextEncoder:
    """Stands where prompts are encoded elsewhere."""

    def encode(self, prompts: Sequence[str]) -> Tensor:
        raise WorldweaveError(
            "the base was loaded without its text encoder; load it with text_encoder"
        )


def config_of(base: Base, *, compat: str | None = None) -> DiTConfig:
    """Return the sizes of *base*; *compat* switches released quirks on."""
    if compat not in (None, COMPAT):
        raise WorldweaveError(f"compat is {compat!r}; the only one is {COMPAT!r}")
    made: Any = base.config.load()
    if not isinstance(made, DiTConfig) and callable(made):
        with blamed(f"the config of base {base.name!r}", base.config.report):
            made = made()
    if not isinstance(made, DiTConfig):
        raise PluginError(
            f"{base.config.path} gave a {type(made).__name__}, not a "
            f"worldweave.DiTConfig; {base.config.report}"
        )
    config = made
    return attrs.evolve(config, bf16_rope=True) if compat == COMPAT else config


def load_base(
    base: Base,
    placement: Placement,
    *,
    hook: Any = None,
    compat: str | None = None,
    text_encoder: bool = True,
) -> LoadedBase:
    """Read the DiT, the autoencoder and the text encoder of *base* from disk.

    text_encoder: False where prompts are encoded elsewhere; its file is not read then.
    Raise WeightsError for missing or misfitting files.
    """
    config = config_of(base, compat=compat)
    files = {
        part: resolve(weights, hook)
        for part in ("dit", "autoencoder", "text_encoder")
        if (part != "text_encoder" or text_encoder)
        and (weights := part_of(base, part)) is not None
    }
    if "dit" not in files:
        raise WeightsError(
            f"base {base.name!r} names no weights for its DiT; its plugin must name "
            f"some, such as those of: worldweave train base --base {base.name}"
        )
    # The small parts first: what they lack shows before 14 GB are read.
    autoencoder = build_autoencoder(base, files.get("autoencoder"), placement)
    encoder: TextEncoder = (
        build_text_encoder(base, files.get("text_encoder"), placement)
        if text_encoder
        else NoTextEncoder()
    )
    with torch.device("meta"):
        dit = DiT(config)
    store.load(
        dit,
        files["dit"],
        device=placement.device,
        dtype=placement.dtype,
        what=f"base {base.name}",
    )
    return LoadedBase(
        description=base,
        config=config,
        dit=dit.eval().requires_grad_(False),
        autoencoder=autoencoder,
        text_encoder=encoder,
        placement=placement,
        files=files,
        compat=compat,
    )


def build_autoencoder(
    base: Base, file: Path | None, placement: Placement
) -> Autoencoder:
    """Build the autoencoder of *base*; what fails is its plugin's fault.

    Raise WeightsError for a missing or misfitting file, as it does itself.
    """
    build = base.autoencoder.load()
    with blamed_part(base, "autoencoder", base.autoencoder):
        made: Autoencoder = build(file, device=placement.device, dtype=placement.dtype)
        strides = (made.time_stride, made.space_stride)
    if strides != base.strides:
        raise PluginError(
            f"base {base.name!r} says strides {base.strides} but its autoencoder has "
            f"{strides} (frames, pixels); {base.autoencoder.report}"
        )
    return made


def build_text_encoder(
    base: Base, file: Path | None, placement: Placement
) -> TextEncoder:
    """Do as `build_autoencoder` for the text encoder of *base*."""
    build = base.text_encoder.load()
    with blamed_part(base, "text encoder", base.text_encoder):
        made: TextEncoder = build(file, device=placement.device, dtype=placement.dtype)
    return made


@contextlib.contextmanager
def blamed_part(base: Base, part: str, lazy: Lazy) -> Iterator[None]:
    """Do as `blamed` for a *part* of *base*, named *lazy*.

    What it says of weights that are missing or misfitting passes as it is.
    """
    try:
        with blamed(f"the {part} of base {base.name!r}", lazy.report):
            yield
    except WorldweaveError as error:
        if isinstance(error.__cause__, WeightsError):
            raise error.__cause__ from None
        raise


@contextlib.contextmanager
def building(what: str, report: str) -> Iterator[None]:
    """Say that *what* cannot be built, whatever its class raises but a message.

    A WorldweaveError passes as it is, and where memory runs out nobody is blamed.
    """
    try:
        yield
    except (WorldweaveError, MemoryError, torch.OutOfMemoryError):
        raise
    except BaseException as error:
        let_interrupts_pass(error)
        raise PluginError(
            f"{what} cannot be built: {one_line(error)}; {report}"
        ) from error


def map_file(base: Base, learned: str, hook: Any = None) -> Path:
    """Return the weights of learned maps: the base's for "base", or a user's file.

    Raise WeightsError where the base has none, or they are missing or damaged.
    """
    if learned != OF_THE_BASE:
        return Path(learned)
    weights = part_of(base, "maps")
    if weights is None:
        raise WeightsError(
            f"base {base.name!r} brings no weights for learned maps; train some "
            f"with: worldweave train maps --base {base.name}"
        )
    return resolve(weights, hook)


def part_of(base: Base, part: str) -> Weights | None:
    """Return the weights *base* names for its *part*, if any."""
    return next((w for w in base.weights if w.part == part), None)


def new_branch(modality: Modality, config: DiTConfig) -> ControlBranch:
    """Build an untrained branch of *modality* on the current default device.

    Raise PluginError where the plugin's class cannot be built or is no branch.
    """
    kind = modality.branch.load()
    with building(f"the branch of {modality.name!r}", modality.branch.report):
        branch = kind(config)
    if not isinstance(branch, ControlBranch):
        raise PluginError(
            f"{modality.branch.path} made a {type(branch).__name__}; a modality's "
            f"branch must be a worldweave.ControlBranch; {modality.branch.report}"
        )
    return branch


def load_branch(
    modality: Modality, config: DiTConfig, placement: Placement, path: Path
) -> ControlBranch:
    """Read the branch of *modality* from *path*, strictly."""
    with torch.device("meta"):
        branch = new_branch(modality, config)
    try:
        store.load(
            branch,
            path,
            device=placement.device,
            dtype=placement.dtype,
            what=f"branch {modality.name}",
        )
    except WeightsError as error:
        raise WeightsError(
            f"{error}; give a file that worldweave train {modality.name} has made "
            "for this base"
        ) from error
    return branch.eval().requires_grad_(False)
