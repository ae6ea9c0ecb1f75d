"""What the readers of all foreign specs share: notes, and how one value is read."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePath
from typing import Any, Literal, TypeAlias

import attrs

from worldweave_registry import did_you_mean

Verdict: TypeAlias = Literal["became", "dropped", "refused"]

#: Fields of our request in the order in which they are written.
_ORDER = (
    *("base", "prompt", "negative_prompt", "video", "controls", "steps", "guidance"),
    *("seed", "sigma_max", "fps", "overlap", "max_frames"),
)
#: The strengths both systems have for their blur and their edges.
PRESETS = ("very_low", "low", "medium", "high", "very_high")
MAP_SUFFIXES = (
    *(".pt", ".npy", ".npz", ".safetensors", ".mp4", ".mov"),
    *(".png", ".jpg", ".jpeg"),
)
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60


@attrs.frozen(kw_only=True)
class Note:
    """What one key became, or why it did not.

    path: where it stands, ``seg.control_weight``; in parentheses what concerns no
    single key, ``(base)``. what: one line.
    """

    path: str
    verdict: Verdict
    what: str


@attrs.frozen(kw_only=True)
class Translation:
    """A request in our JSON form, without what is refused, and a note for each key."""

    request: dict[str, Any]
    notes: tuple[Note, ...]

    @property
    def refused(self) -> tuple[Note, ...]:
        """The notes of what is asked for and cannot be had."""
        return tuple(note for note in self.notes if note.verdict == "refused")


@attrs.define(kw_only=True)
class Draft:
    """A request under way, and what was said so far."""

    spec: dict[str, Any]
    request: dict[str, Any] = attrs.field(factory=dict)
    notes: list[Note] = attrs.field(factory=list)

    def became(self, path: str, what: str) -> None:
        self._note(path, "became", what)

    def dropped(self, path: str, why: str) -> None:
        self._note(path, "dropped", why)

    def refused(self, path: str, why: str) -> None:
        self._note(path, "refused", why)

    def _note(self, path: str, verdict: Verdict, what: str) -> None:
        self.notes.append(Note(path=path, verdict=verdict, what=what))

    def finished(self) -> Translation:
        """Return what was read; a request that shows nothing at all is refused."""
        videos = [c.get("video") for c in self.request.get("controls", {}).values()]
        is_fine = all(note.verdict != "refused" for note in self.notes)
        if is_fine and "video" not in self.request and not any(videos):
            self.refused("(video)", "there is none; give a source or a control video")
        request = {
            field: self.request[field] for field in _ORDER if field in self.request
        }
        return Translation(request=request, notes=tuple(self.notes))


#: Reads the value of one key into the draft, and notes what became of it.
Reader: TypeAlias = Callable[[Draft, str, Any], None]


def short(value: Any) -> str:
    """Show *value* on one line, cut where it is long."""
    return " ".join(_SHORT.repr(value).split())


def as_number(value: Any) -> float | None:
    """Return *value*, a number or the text of one, if it is finite; else None."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    if not math.isfinite(number):
        return None
    return value if isinstance(value, int) else number + 0.0  # -0.0 becomes 0.0


def is_text(value: Any) -> bool:
    """Say whether *value* is text that a request can hold and a file can keep."""
    if not isinstance(value, str) or "\0" in value:
        return False
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def is_empty(value: Any) -> bool:
    """Say whether *value* asks for nothing."""
    return value is None or value is False or value in ("", [], {})


def is_map_file(value: Any) -> bool:
    """Say whether *value* names a file that a map can be read from."""
    return is_text(value) and PurePath(value).suffix.lower() in MAP_SUFFIXES


def number_to(
    field: str, low: float, high: float, *, beyond: bool = False, also: str = ""
) -> Reader:
    """Read a number in low..high (above *low* if *beyond*) into *field*."""

    def read(draft: Draft, key: str, value: Any) -> None:
        number = as_number(value)
        if number is None or not low <= number <= high or (beyond and number == low):
            above = "above " if beyond else ""
            why = f"{short(value)} is no number from {above}{low:g} to {high:g}"
            draft.refused(key, f"{why}; correct it")
            return
        draft.request[field] = number
        draft.became(key, f"{field} {number:g}{_was_text(value)}{also}")

    return read


def whole_to(field: str, low: int, high: int, *, also: str = "") -> Reader:
    """Read a whole number in low..high into *field*."""

    def read(draft: Draft, key: str, value: Any) -> None:
        number = as_number(value)
        if number is None or number != int(number) or not low <= number <= high:
            why = f"{short(value)} is no whole number from {low} to {high}"
            draft.refused(key, f"{why}; correct it")
            return
        draft.request[field] = int(number)
        draft.became(key, f"{field} {int(number)}{_was_text(value)}{also}")

    return read


def text_to(
    field: str, *, wanted: str = "text", empty: str = "empty, as without it"
) -> Reader:
    """Read text into *field*; empty text is what the request has anyway.

    wanted: what the text is. empty: what to say where there is none.
    """

    def read(draft: Draft, key: str, value: Any) -> None:
        if not is_text(value):
            draft.refused(key, f"{short(value)} is no {wanted}; correct it")
        elif not value:
            draft.dropped(key, empty)
        else:
            draft.request[field] = value
            draft.became(key, f"{field} {short(value)}")

    return read


def file_to(field: str) -> Reader:
    """Read a file name into *field*."""
    return text_to(field, wanted="file name", empty="empty: no file")


def dropping(why: str) -> Reader:
    """Leave a key out that changes nothing of the video here."""
    return lambda draft, key, value: draft.dropped(key, why)


def refusing(why: str) -> Reader:
    """Refuse what cannot be had, unless its value asks for nothing.

    -1 is how the released programs say "no limit" where they take a number.
    """

    def read(draft: Draft, key: str, value: Any) -> None:
        if is_empty(value) or value == -1:
            draft.dropped(key, f"{short(value)}: nothing is asked for")
        else:
            draft.refused(key, why)

    return read


def read_all(draft: Draft, readers: Mapping[str, Reader], key: str) -> None:
    """Read *key* of the draft's spec with its reader; null is as if not given."""
    if draft.spec[key] is None:
        draft.dropped(key, "null, as without it")
    else:
        readers[key](draft, key, draft.spec[key])


def unknown(key: str, known: Iterable[str], what: str) -> str:
    """Return why a key that nobody knows is refused."""
    names = list(known)
    list_them = f"; it may have: {', '.join(names)}" if len(names) < 12 else ""
    return f"unknown key of {what}" + (
        did_you_mean(key, names) or list_them or "; leave it out"
    )


def finish_control(
    draft: Draft, name: str, inner: Draft, control: dict[str, Any] | None
) -> None:
    """Take over the notes of one control, and the control unless it is None."""
    if control is not None:
        draft.became(name, f"controls.{name}")
        draft.request.setdefault("controls", {})[name] = control
        draft.notes += inner.notes
        return
    if not any(note.path == name for note in inner.notes):
        draft.dropped(name, "left out for what is refused of it")
    draft.notes += [note for note in inner.notes if note.path == name]
    draft.notes += [
        attrs.evolve(note, verdict="dropped", what=f"left out with {name}")
        if note.verdict == "became"
        else note
        for note in inner.notes
        if note.path != name
    ]


def ready_problem(
    name: str, makers: Mapping[str, bool] | None, *, needs: str | None
) -> str | None:
    """Return why a control called *name* cannot be had, if so.

    makers: installed modalities, and whether each makes its control from a video;
    None: not checked. needs: the missing key of a ready control video, if missing.
    """
    if makers is None:
        return None
    if name not in makers:
        installed = ", ".join(sorted(makers)) or "none"
        return f"no plugin here supplies {name!r}; install one (here: {installed})"
    if needs is not None and not makers[name]:
        return (
            f"{name!r} cannot be made from a video here; make its control video "
            f"with the released tools and name it as {needs}"
        )
    return None


def _was_text(value: Any) -> str:
    return f", read from the text {short(value)}" if isinstance(value, str) else ""
