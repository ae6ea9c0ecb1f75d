"""Read a batch of Cosmos-Transfer1: lines of what is different from one spec."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import attrs

from worldweave.request.foreign import transfer1_controls
from worldweave.request.foreign.common import (
    Note,
    Translation,
    is_empty,
    short,
    unknown,
)

LINE_KEYS = ("prompt", "visual_input", "control_overrides")
#: What a line's key is called in a spec.
_SPEC_NAMES = {"prompt": "prompt", "visual_input": "input_video_path"}

Translate = Callable[[dict[str, Any]], Translation]


def translate_line(
    line: dict[str, Any], spec: dict[str, Any], translate: Translate
) -> Translation:
    """Return what a line asks for instead of what the request of *spec* does.

    The request of the result holds only the fields that differ; controls are given
    whole, all of them, where one differs.
    """
    merged, notes = _merge(line, spec)
    whole = translate(merged)
    before = translate(spec).request
    notes += [_renamed(note, line) for note in whole.notes]
    different = {
        field: value
        for field, value in whole.request.items()
        if field not in before or before[field] != value
    }
    return Translation(request=different, notes=tuple(notes))


def split_shared(
    translations: Iterable[tuple[int, Translation]],
) -> tuple[list[Note], list[tuple[int, Note]]]:
    """Part the notes that all lines have in common from those of one line each."""
    numbered = list(translations)
    if len(numbered) < 2:
        return [], [(line, note) for line, made in numbered for note in made.notes]
    everywhere = set(numbered[0][1].notes).intersection(
        *(made.notes for _, made in numbered[1:])
    )
    shared = [note for note in numbered[0][1].notes if note in everywhere]
    own = [
        (line, note)
        for line, made in numbered
        for note in made.notes
        if note not in everywhere
    ]
    return shared, own


def _merge(
    line: dict[str, Any], spec: dict[str, Any]
) -> tuple[dict[str, Any], list[Note]]:
    """Return *spec* as the released code changes it for *line*."""
    merged, notes = dict(spec), []
    for key, value in line.items():
        if key not in LINE_KEYS:
            why = unknown(key, LINE_KEYS, "a line of a batch")
            notes.append(Note(path=key, verdict="refused", what=why))
        elif key != "control_overrides":
            if not is_empty(value):
                if merged.get(_SPEC_NAMES[key]) is not None:
                    notes.append(_replaced(_SPEC_NAMES[key]))
                merged[_SPEC_NAMES[key]] = value
            else:
                why = f"{short(value)}: what the spec says stays"
                notes.append(Note(path=key, verdict="dropped", what=why))
        elif not isinstance(value, dict):
            why = f"{short(value)} is no object of controls; correct it"
            notes.append(Note(path=key, verdict="refused", what=why))
        else:
            notes += _override(merged, value)
    return merged, notes


def _override(merged: dict[str, Any], overrides: dict[str, Any]) -> list[Note]:
    """Change the controls of *merged*; return notes of those that cannot be."""
    notes = []
    for name, changes in overrides.items():
        path = f"control_overrides.{name}"
        if name not in transfer1_controls.HINTS:
            why = unknown(name, transfer1_controls.HINTS, "control_overrides")
        elif not isinstance(merged.get(name), dict):
            why = "the spec has no such control, so the released code ignores it; "
            why += f"add {name} to the spec"
        elif not isinstance(changes, dict):
            why = f"{short(changes)} is no object of a control; correct it"
        else:
            notes += [
                _replaced(f"{name}.{key}") for key in changes if key in merged[name]
            ]
            merged[name] = {**merged[name], **changes}
            continue
        notes.append(Note(path=path, verdict="refused", what=why))
    return notes


def _replaced(path: str) -> Note:
    return Note(path=path, verdict="dropped", what="of the spec: the line has its own")


def _renamed(note: Note, line: dict[str, Any]) -> Note:
    """Name a note by the key of the line it is about, not by that of the spec."""
    if note.path == "input_video_path" and not is_empty(line.get("visual_input")):
        return attrs.evolve(note, path="visual_input")
    overrides = line.get("control_overrides")
    name, _, key = note.path.partition(".")
    changes = overrides.get(name) if isinstance(overrides, dict) else None
    if isinstance(changes, dict) and (key in changes or not key):
        return attrs.evolve(note, path=f"control_overrides.{note.path}")
    return note
