"""From files of specs to the text of requests, and a table of what became of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import attrs

from worldweave.request.foreign import Flavour, Note, Translation, flavour_of, translate
from worldweave.request.foreign.batch import LINE_KEYS, split_shared, translate_line
from worldweave.request.foreign.common import is_text
from worldweave.request.foreign.reading import (
    placed,
    prompt_text,
    read_lines,
    read_spec,
    read_text,
)
from worldweave_registry import WorldweaveError

#: Key, verdict, what became of it.
Row: TypeAlias = tuple[str, str, str]


@attrs.frozen(kw_only=True)
class Entry:
    """One translated spec, or one line of many.

    line, name: None for a single spec. origin: the folder its relative file names are
    taken from.
    """

    made: Translation
    origin: Path
    flavour: Flavour
    line: int | None = None
    name: str | None = None


@attrs.frozen(kw_only=True)
class Importer:
    """How specs are to be read; the fields are as of `translate`."""

    flavour: Flavour | None = None
    base: str | None = None
    makers: Mapping[str, bool] | None = None

    def read(self, file: Path) -> list[Entry]:
        """Return the spec of *file*, or those of each line of a .jsonl.

        Raise WorldweaveError where it is no JSON of specs.
        """
        if file.suffix.lower() != ".jsonl":
            spec = read_spec(file)
            self._refuse_line_of_batch(spec, file)
            return [self._entry(spec, file)]
        lines = read_lines(read_text(file), str(file))
        entries = []
        for index, (line, spec) in enumerate(lines):
            self._refuse_line_of_batch(spec, file)
            name = spec["name"] if is_text(spec.get("name")) else f"video_{index}"
            entry = self._entry(spec, file)
            entries.append(
                attrs.evolve(
                    entry, line=line, name=name, made=_named(entry.made, spec, name)
                )
            )
        return _without_twins(entries)

    def batch(self, file: Path, batch: Path) -> list[Entry]:
        """Return what each line of *batch* asks for on top of the spec of *file*."""
        spec = read_spec(file)
        if (self.flavour or flavour_of(spec)) != "transfer1":
            raise WorldweaveError(
                f"{file} is a spec of Cosmos-Transfer2.5, whose batches are whole "
                f"specs; give that alone: worldweave import-spec {batch}"
            )
        as_before = self._translator(file)
        entries = []
        for index, (line, changes) in enumerate(
            read_lines(read_text(batch), str(batch))
        ):
            made = translate_line(changes, spec, as_before)
            entries.append(
                Entry(
                    made=made,
                    origin=Path(),
                    flavour="transfer1",
                    line=line,
                    name=f"video_{index}",
                )
            )
        return entries

    def _entry(self, spec: dict[str, Any], file: Path) -> Entry:
        flavour = self.flavour or flavour_of(spec)
        # The released programs take names from where they run, and from where the
        # spec lies.
        origin = Path() if flavour == "transfer1" else file.parent
        made = self._translator(file)(spec)
        return Entry(made=made, origin=origin, flavour=flavour)

    def _translator(self, file: Path) -> Callable[[dict[str, Any]], Translation]:
        return lambda spec: translate(
            spec,
            flavour=self.flavour,
            base=self.base,
            makers=self.makers,
            read_text=lambda name: prompt_text(file.parent / name),
        )

    def _refuse_line_of_batch(self, spec: dict[str, Any], file: Path) -> None:
        key = next((key for key in LINE_KEYS[1:] if key in spec), None)
        if key is not None:
            raise WorldweaveError(
                f"{file} has {key!r}, so it is a batch on top of a spec; give both: "
                f"worldweave import-spec SPEC.json --batch {file}"
            )


def as_text(entries: list[Entry], folder: Path) -> str:
    """Return a request in JSON, or one per line, as a file in *folder* holds it."""
    texts = []
    for entry in entries:
        request = placed(entry.made.request, entry.origin, folder)
        if entry.line is None:
            texts.append(json.dumps(request, indent=2, ensure_ascii=False))
        else:
            request = {"name": entry.name, **request}
            texts.append(json.dumps(request, ensure_ascii=False))
    return "".join(f"{text}\n" for text in texts)


def as_rows(entries: list[Entry], folder: Path) -> list[Row]:
    """Return one row for each key; for lines, first what all have in common."""
    if entries[0].line is None:
        rows = [_row(note) for note in entries[0].made.notes]
    else:
        shared, own = split_shared((entry.line or 0, entry.made) for entry in entries)
        rows = [_row(note) for note in shared]
        rows += [_row(note, f"line {line}: ") for line, note in own]
    flavours = dict.fromkeys(entry.flavour for entry in entries)
    return rows + [
        _files_row(next(e for e in entries if e.flavour == flavour), folder)
        for flavour in flavours
    ]


def _files_row(entry: Entry, folder: Path) -> Row:
    taken = "the working directory" if entry.flavour == "transfer1" else "its folder"
    what = f"relative names in the spec are taken from {taken}, as released"
    if entry.origin.resolve() == folder.resolve():
        here = "that folder" if folder != Path() else "this folder"
        what += f"; a request takes them from its own folder: keep it in {here}"
    else:
        what += "; they are rewritten for the folder of the request"
    return ("(files)", "became", what)


def _row(note: Note, where: str = "") -> Row:
    return (f"{where}{_plain(note.path)}", note.verdict, _plain(note.what))


def _plain(text: str) -> str:
    """Return *text* without what would break a line or upset a terminal."""
    return text if text.isprintable() else repr(text)[1:-1]


def _named(made: Translation, spec: Mapping[str, Any], name: str) -> Translation:
    """Say of the key `name` that it names a line, or that a name was made up."""
    note = Note(path="name", verdict="became", what=f"name {name!r}")
    if spec.get("name") != name:
        note = attrs.evolve(note, path="(name)", what=f"name {name!r}: not given")
    others = (other for other in made.notes if other.path != "name")
    return attrs.evolve(made, notes=(*others, note))


def _without_twins(entries: Iterable[Entry]) -> list[Entry]:
    """Refuse a name that an earlier line has."""
    seen: dict[str | None, int | None] = {}
    kept = []
    for entry in entries:
        if entry.name in seen:
            why = (
                f"{entry.name!r} is the name of line {seen[entry.name]} too; change one"
            )
            twin = Note(path="name", verdict="refused", what=why)
            notes = tuple(note for note in entry.made.notes if note.path != "name")
            entry = attrs.evolve(
                entry, made=attrs.evolve(entry.made, notes=(*notes, twin))
            )
        seen.setdefault(entry.name, entry.line)
        kept.append(entry)
    return kept
