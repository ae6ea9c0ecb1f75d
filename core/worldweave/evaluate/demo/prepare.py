"""Get a demonstration ready: everything that can be refused is refused here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import attrs

from worldweave.base import Clip
from worldweave.evaluate.demo.subjects import (
    Subject,
    from_clip,
    from_video,
    held_out_clips,
)
from worldweave.evaluate.demo.takes import Take, choose_leads, takes_of
from worldweave.evaluate.working import enable_working
from worldweave.generate.load import load
from worldweave.generate.pipeline import Pipeline
from worldweave.request.check import prompt_problems, raise_all
from worldweave.train.branches import with_weights
from worldweave_registry import (
    Base,
    Catalog,
    Modality,
    PluginError,
    WorldweaveError,
    discover,
)


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

    def unshown(self) -> list[str]:
        """Return which modalities take no part and why, one line each."""
        every = [pair for each in self.subjects for pair in each.unshown.items()]
        return [f"{name} is left out: {why}" for name, why in dict.fromkeys(every)]


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

    One whose plugin fails is left out: nobody has named it.
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
    raise_all(prompt_problems(description, prompt or ""))
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
    pipeline = load(base, catalog=catalog)
    subjects = _enabled(pipeline, subjects)
    names = list(pipeline.active)
    if not names:
        reasons = [f"{n}: {why}" for s in subjects for n, why in s.unshown.items()]
        told = "; ".join(dict.fromkeys(reasons))
        raise WorldweaveError(
            f"no modality has weights for {base!r} and a control"
            f"{f' ({told})' if told else ''}; see worldweave plugins, or "
            "WORLDWEAVE_DISABLE in your environment"
        )
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


def _enabled(pipeline: Pipeline, subjects: tuple[Subject, ...]) -> tuple[Subject, ...]:
    """Enable what *subjects* show; what fails is shown by none and told."""
    shown = {n: s for s in reversed(subjects) for n in s.controls}
    left_out: dict[str, str] = {}
    for name in pipeline.catalog.modalities:
        if name in shown:
            subject = shown[name]
            clip = subject.clip or Clip(video=subject.frames, prompt="")
            made = subject.controls[name]
            left_out |= enable_working(pipeline, [name], clip, {name: made}.__getitem__)
    return tuple(
        attrs.evolve(
            subject,
            controls={n: c for n, c in subject.controls.items() if n not in left_out},
            unshown={**subject.unshown, **left_out},
        )
        for subject in subjects
    )


def _own(
    base: Base,
    numbers: Sequence[int],
    prompt: str | None,
    modalities: dict[str, Modality],
    out: Path,
) -> tuple[Subject, ...]:
    named = base.metadata.get("demo_clips", "0").split()
    try:
        chosen = numbers or [int(number) for number in named]
    except ValueError as error:
        raise PluginError(
            f"the metadata of base {base.name!r} names demo_clips {' '.join(named)!r}; "
            f"they must be whole numbers; {base.config.report}"
        ) from error
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
