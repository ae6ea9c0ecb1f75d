"""Check that what belongs together is there: videos, captions, controls."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from worldweave.train.data.layout import (
    CAPTION_ENDINGS,
    CAPTIONS,
    CONTROL_ENDINGS,
    VIDEO_ENDINGS,
    VIDEOS,
    DataFolder,
    sample_name,
)
from worldweave.train.data.look_finding import Finding, listed, shared
from worldweave.train.words import counted
from worldweave_registry import Modality
from worldweave_registry.wording import nearest

_ONE_NAME = (
    "What belongs together has one name: videos/a.mp4, captions/a.txt, {modality}/a.mp4"
)


def pair_findings(
    folder: DataFolder, modality: Modality, failure: str | None
) -> list[Finding]:
    """Tell which captions and controls are missing, and which files are left over.

    *failure* says why the modality's preprocessor cannot be used.
    """
    missing = [s.name for s in folder.samples if s.caption is None]
    return [
        *shared(
            "warning",
            CAPTIONS,
            missing,
            len(folder.samples),
            "video",
            ("has no caption", "have no caption"),
            "A caption tells in words what a video shows; without one the video is "
            "trained with an empty prompt.",
            f"write captions/NAME.txt, such as captions/{missing[0]}.txt"
            if missing
            else "",
        ),
        *_missing_controls(folder, modality, failure),
        *_orphans(folder),
    ]


def _missing_controls(
    folder: DataFolder, modality: Modality, failure: str | None
) -> list[Finding]:
    name, total = folder.modality, len(folder.samples)
    missing = [s.name for s in folder.samples if s.control is None]
    if not missing:
        return []
    verb = ("has no control", "have no control")
    mend = f"add {name}/NAME.mp4, such as {name}/{missing[0]}.mp4"
    if modality.preprocessor is None:
        why = (
            f"A control is the video of {name!r} that belongs to a video, frame by "
            f"frame. {name!r} cannot be made from a video, so it has to be given."
        )
        return shared("error", name, missing, total, "video", verb, why, mend)
    if failure is not None:
        why = f"The plugin would make them, but cannot here: {failure}."
        mend = f"mend that, or {mend}"
        return shared("error", name, missing, total, "video", verb, why, mend)
    if len(missing) == total:
        why = (
            f"Training makes them from the videos with the preprocessor of {name!r}, "
            "which is how this modality is meant to be trained."
        )
        return shared("note", name, missing, total, "video", verb, why, "")
    why = (
        f"Training makes those with the preprocessor of {name!r} and reads the others "
        "from files; the two may look different, and the branch learns both."
    )
    mend = f"{mend}; or remove {name}/ to have all of them made"
    return shared("warning", name, missing, total, "video", verb, why, mend)


def _orphans(folder: DataFolder) -> list[Finding]:
    known = [sample.name for sample in folder.samples]
    lonely: dict[str, list[str]] = {CAPTIONS: [], folder.modality: []}
    others: dict[str, list[Path]] = {}
    for path in folder.orphans:
        place = path.relative_to(folder.root)
        where = place.parts[0] if len(place.parts) > 1 else "."
        ending = path.suffix.lower()
        endings = CAPTION_ENDINGS if where == CAPTIONS else CONTROL_ENDINGS
        if where in lonely and ending in endings:
            lonely[where].append(_with_guess(path, folder.root / where, known))
        else:
            others.setdefault(where, []).append(place)
    found = []
    for where, told in lonely.items():
        if told:
            word = "caption" if where == CAPTIONS else "control"
            belongs = "belongs" if len(told) == 1 else "belong"
            found.append(
                Finding(
                    severity="warning",
                    subject=where,
                    says=f"{counted(len(told), word)} {belongs} to no video: "
                    f"{listed(told)}. "
                    f"{_ONE_NAME.format(modality=folder.modality)}. Nothing is "
                    "trained with a file that has no video.",
                    mend="rename the file like its video, or remove it",
                )
            )
    return found + [_other_kind(where, paths) for where, paths in others.items()]


def _with_guess(path: Path, folder: Path, known: list[str]) -> str:
    """Return the path, and the name it was probably meant to have."""
    place = f"{folder.name}/{path.relative_to(folder).as_posix()}"
    name = sample_name(path, folder)
    inside = [other for other in known if other in name or name in other]
    guess = max(inside, key=len) if inside else nearest(name, known)
    return f"{place} (meant for {guess}?)" if guess else place


def _other_kind(where: str, paths: list[Path]) -> Finding:
    kinds = Counter(path.suffix.lower() or "without ending" for path in paths)
    told = ", ".join(f"{n} {kind}" for kind, n in kinds.most_common(4))
    names = listed([path.as_posix() for path in paths])
    if where == ".":
        return Finding(
            severity="warning",
            subject=".",
            says=f"{counted(len(paths), 'video')} outside of videos/: {names}. Only "
            "what lies in videos/ is trained on.",
            mend="move the files into videos/, or elsewhere",
        )
    taken = {VIDEOS: VIDEO_ENDINGS, CAPTIONS: CAPTION_ENDINGS}.get(
        where, CONTROL_ENDINGS
    )
    is_caption = where == VIDEOS and ".txt" in kinds
    return Finding(
        severity="warning",
        subject=where,
        says=f"{counted(len(paths), 'file')} of a kind that is not read there "
        f"({told}): {names}. In {where}/ only {', '.join(taken)} is read.",
        mend="move the .txt files into captions/"
        if is_caption
        else "convert the files, or remove them",
    )
