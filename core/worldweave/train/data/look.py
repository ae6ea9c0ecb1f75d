"""Look at a data folder before hours of training, and tell what is wrong with it."""

from __future__ import annotations

from worldweave.train.data.layout import DataFolder
from worldweave.train.data.look_captions import caption_findings
from worldweave.train.data.look_finding import (
    SEVERITIES,
    Finding,
    Findings,
    Progress,
)
from worldweave.train.data.look_match import match_findings
from worldweave.train.data.look_pairs import pair_findings
from worldweave.train.data.look_polarity import polarity_findings
from worldweave.train.data.look_sample import Onlooker, Seen
from worldweave.train.data.look_values import value_findings
from worldweave.train.data.look_videos import (
    file_findings,
    video_findings,
    windows_of,
)
from worldweave_registry import Base, Modality, WorldweaveError

__all__ = ["Finding", "Findings", "examine"]


def examine(
    folder: DataFolder,
    modality: Modality,
    base: Base,
    *,
    frames: int | None = None,
    progress: Progress | None = None,
) -> Findings:
    """Look at every file of *folder*, as training *modality* for *base* would use it.

    Files are read frame by frame and never held whole. *frames*: look only at the
    first so many of each. What is wrong with the files is found, not raised; raises
    WorldweaveError where *frames* is no number of frames.
    """
    if frames is not None and frames < 1:
        raise WorldweaveError(f"frames is {frames}; look at one frame at least")
    onlooker = Onlooker(modality=modality, base=base, most=frames)
    seen: list[Seen] = []
    total = len(folder.samples)
    for sample in folder.samples:
        seen.append(onlooker.look(sample))
        if progress is not None:
            progress(len(seen), total, sample.name)
    found = [
        *pair_findings(folder, modality, onlooker.failure),
        *file_findings(folder, seen),
        *video_findings(seen, base),
        *match_findings(seen, modality.name),
        *value_findings(seen, modality),
        *polarity_findings(seen, modality),
        *caption_findings(folder, base),
        *_left_unseen(seen, onlooker, folder),
    ]
    return Findings(
        folder=folder,
        base=base.name,
        chunk_frames=base.chunk_frames,
        seconds=sum(each.video.seconds for each in seen if each.video),
        windows=sum(windows_of(each, base.chunk_frames) for each in seen),
        findings=tuple(sorted(found, key=lambda each: SEVERITIES.index(each.severity))),
    )


def _left_unseen(
    seen: list[Seen], onlooker: Onlooker, folder: DataFolder
) -> list[Finding]:
    """Say what nobody looked at."""
    found = []
    films = [film for s in seen for film in (s.video, s.control) if film is not None]
    cut = [film for film in films if film.seen < film.frames]
    if cut:
        found.append(
            Finding(
                severity="note",
                subject=".",
                says=f"Of {len(cut)} of {len(films)} files only the first "
                f"{onlooker.most} frames were looked at: damage further on would not "
                "be seen, nor anything else there.",
                mend="run it once without --frames before a long training",
            )
        )
    has_controls = any(sample.control is not None for sample in folder.samples)
    if onlooker.failure is not None and has_controls:
        found.append(
            Finding(
                severity="note",
                subject=folder.modality,
                says="The controls could not be compared with what the preprocessor "
                f"makes, so nobody looked whether they are inverted: "
                f"{onlooker.failure}.",
                mend="",
            )
        )
    return found
