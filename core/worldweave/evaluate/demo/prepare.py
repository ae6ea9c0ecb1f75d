"""Get a demonstration ready: everything that can be refused is refused here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import attrs

from worldweave.evaluate.demo.subjects import (
    Subject,
    from_clip,
    from_video,
    held_out_clips,
)
from worldweave.evaluate.demo.takes import Take, choose_leads, takes_of
from worldweave.evaluate.session import with_weights
from worldweave.generate.load import load
from worldweave.generate.pipeline import Pipeline
from worldweave.request.check import raise_all
from worldweave_registry import Base, Catalog, Modality, WorldweaveError, discover


@attrs.frozen(kw_only=True, eq=False)
class Demo:
    """What will be shown: the loaded pipeline, the subjects, where results go.

    leads: the modalities of foreground and background; None where only one is on.
    """

    pipeline: Pipeline
    subjects: tuple[Subject, ...]
    leads: tuple[str, str] | None
    out: Path
    seed: int

    @property
    def base(self) -> Base:
        """The description of the loaded base."""
        return self.pipeline.base.description

    @property
    def modalities(self) -> dict[str, Modality]:
        """The modalities that take part, by name."""
        return {name: each.modality for name, each in self.pipeline.active.items()}

    def takes(self, subject: Subject) -> list[Take]:
        """Return what will be generated of *subject*."""
        return takes_of(subject, self.leads)


def prepare(
    base: str,
    video: Path | None,
    prompt: str | None,
    out: Path,
    *,
    frames: int,
    seed: int,
    clips: Sequence[int] = (),
    catalog: Catalog | None = None,
) -> Demo:
    """Load *base* with every modality that has weights and a control to follow.

    video: a person's own, of which *frames* are read; without one, held-out clips
    of the base with the numbers *clips*, or those its metadata names. Nothing is
    written but the folder *out*. Raise WorldweaveError for whatever stands in the
    way.
    """
    if out.exists() and not out.is_dir():
        raise WorldweaveError(
            f"cannot write into {out}: it is a file; give --out a folder"
        )
    catalog = discover() if catalog is None else catalog
    description = catalog.find_base(base)
    if description.check_prompt is not None:
        raise_all(description.check_prompt.load()(prompt or ""))
    modalities = {n: catalog.modalities[n] for n in with_weights(catalog, base)}
    subjects: tuple[Subject, ...]
    if video is not None:
        _refuse_own_folder(video, out)
        subjects = (
            from_video(
                video, prompt or "", description, modalities.values(), frames=frames
            ),
        )
    else:
        subjects = _own(description, clips, prompt, modalities, out)
    names = [n for n in modalities if any(n in s.controls for s in subjects)]
    if not names:
        raise WorldweaveError(
            f"no modality has weights for {base!r} and a control; see worldweave "
            "plugins, or WORLDWEAVE_DISABLE in your environment"
        )
    pipeline = load(base, modalities=names, catalog=catalog)
    out.mkdir(parents=True, exist_ok=True)
    return Demo(
        pipeline=pipeline,
        subjects=subjects,
        leads=choose_leads(
            description.metadata.get("demo_maps", "").split(), modalities, names
        ),
        out=out,
        seed=seed,
    )


def _own(
    base: Base,
    numbers: Sequence[int],
    prompt: str | None,
    modalities: dict[str, Modality],
    out: Path,
) -> tuple[Subject, ...]:
    named = base.metadata.get("demo_clips", "0").split()
    chosen = numbers or [int(number) for number in named]
    return tuple(
        from_clip(
            f"clip-{number}",
            clip,
            clip.prompt if prompt is None else prompt,
            base,
            modalities.values(),
            out / f"clip-{number}",
        )
        for number, clip in held_out_clips(base, chosen).items()
    )


def _refuse_own_folder(video: Path, out: Path) -> None:
    """The results must not replace what they are made from."""
    if video.resolve().is_relative_to((out / "video").resolve()):
        raise WorldweaveError(
            f"{video} lies where the results go and could be replaced; "
            "give --out another folder"
        )
