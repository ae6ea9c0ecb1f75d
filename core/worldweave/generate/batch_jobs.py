"""The lines of a batch: each a request of its own on top of one they share."""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs

from worldweave.request.plain import (
    as_object,
    plain_of_json,
    plain_of_line,
    read_bytes,
    read_plain,
    shown,
    text_of,
)
from worldweave.request.sources import FORMS
from worldweave.request.spec import Request
from worldweave.request.structure import from_plain
from worldweave.request.walk import placed_plain
from worldweave_registry import Catalog, Problems, discover

_LONGEST = 100


@attrs.frozen(kw_only=True, eq=False)
class Job:
    """One line of a batch: its number, its name, and the request or what is wrong."""

    line: int
    name: str
    request: Request | None = None
    problems: tuple[str, ...] = ()


def read_jobs(
    file: Path,
    common: Path | None = None,
    catalog: Callable[[], Catalog] = discover,
) -> list[Job]:
    """Read a batch: JSON Lines, each an object of request fields and a "name".

    What a line leaves out it takes from the request in *common*. File names in
    either are taken from the folder it lies in. A line that is wrong becomes a job
    with problems. Raise Problems where the file or *common* itself is. catalog: as in
    `worldweave.request.structure.from_plain`.
    """
    shared: Any = {}
    if common is not None:
        shared = read_plain(common)
        from_plain(shared, where=str(common), catalog=catalog)
        shared = placed(shared, _folder(common))
    jobs: list[Job] = []
    taken: dict[str, tuple[int, str]] = {}
    data = read_bytes(file).removeprefix(codecs.BOM_UTF8)
    for number, raw in _lines(data):
        job = _read_job(file, number, raw, shared, catalog)
        if problem := _claim(job, taken):
            job = attrs.evolve(
                job, request=None, problems=(*job.problems, f"{file}: {problem}")
            )
        jobs.append(job)
    if not jobs:
        raise Problems([f"{file} has no lines; give one JSON object a line"])
    if len(jobs) > 1 and not all(job.request for job in jobs):
        _refuse_one_object(data, file)
    return jobs


def merged(shared: Any, own: Any) -> Any:
    """Return *own* on top of *shared*, both as `placed` gives them.

    Objects merge key by key, null takes a key away, anything else replaces. A map of
    another form replaces the one there was.
    """
    return _merged(shared, own, ())


def placed(plain: Any, folder: Path) -> Any:
    """Return a request, or a part of one, with its files taken from *folder*.

    Short forms are written out, so that two requests can be merged.
    """
    # A name that is empty stays so, to be told; the folder is none for a file.
    made = placed_plain(plain, lambda name: str(folder / name) if name else name)
    if not isinstance(made, dict):
        return made
    if isinstance(made.get("labels"), str):
        made["labels"] = {"file": made["labels"]}
    if isinstance(made.get("controls"), dict):
        made["controls"] = {
            name: {"map": control} if _is_short(control) else control
            for name, control in made["controls"].items()
        }
    return made


def name_problem(name: Any) -> str | None:
    """Say why *name* cannot be that of the files of a job, None where it can."""
    if not isinstance(name, str):
        return f"name is {shown(name)}; give text"
    if len(name.encode("utf-8", "replace")) > _LONGEST:
        return f"name {name[:20]!r}... is too long; give up to {_LONGEST} letters"
    if re.fullmatch(r"\w([\w .,+=@-]*[\w+=@-])?", name):
        return None
    return (
        f"name {name!r} is no name for a file; give letters, digits, spaces and "
        "_ - + = @ . , beginning with a letter or a digit"
    )


def _folder(file: Path) -> Path:
    # Without "..", so that a manifest names the same file wherever we were started.
    return Path(os.path.abspath(file)).parent


def _lines(data: bytes) -> list[tuple[int, bytes]]:
    """Return the lines of *data* that are not blank, each with its number."""
    return [(n, raw) for n, raw in enumerate(data.split(b"\n"), 1) if raw.strip()]


def _read_job(
    file: Path, number: int, raw: bytes, shared: Any, catalog: Callable[[], Catalog]
) -> Job:
    name = f"{number:04}"
    where = f"{file}: line {number}"
    try:
        own = _plain_of_line(raw, where)
        given = own.pop("name", None)
        if given is not None:
            if problem := name_problem(given):
                raise Problems([f"{where}: {problem}"])
            name = given
            where += f" ({name})"
        whole = merged(shared, placed(own, _folder(file)))
        request = from_plain(whole, where=where, catalog=catalog)
        return Job(line=number, name=name, request=request)
    except Problems as error:
        return Job(line=number, name=name, problems=error.problems)


def _plain_of_line(raw: bytes, where: str) -> dict[str, Any]:
    text = text_of(raw, where=where, wanted="a request in JSON").strip()
    if text.startswith(("#", "//")):
        raise Problems([f"{where} is a comment; there are none in JSON, remove it"])
    return as_object(plain_of_line(text, where=where), where)


def _claim(job: Job, taken: dict[str, tuple[int, str]]) -> str | None:
    """Note the names of the videos *job* writes; say which one is taken."""
    controls = () if job.request is None else tuple(job.request.controls)
    names = [job.name, *(f"{job.name}.{control}" for control in controls)]
    for name in names:
        # Some file systems hold A and a for the same.
        if name.casefold() in taken:
            line, owner = taken[name.casefold()]
            return (
                f"line {job.line} ({job.name}) would write {name}.mp4, as line {line} "
                f"({owner}) does; give it another name"
            )
    taken.update({name.casefold(): (job.line, job.name) for name in names})
    return None


def _refuse_one_object(data: bytes, file: Path) -> None:
    """Raise Problems where *file* is JSON as a whole, and so not line by line."""
    try:
        plain_of_json(data.decode("utf-8"), where=str(file))
    except (Problems, UnicodeDecodeError):
        return
    raise Problems(
        [
            f"{file} is one piece of JSON over several lines; write each request as an "
            "object on a line of its own"
        ]
    )


def _merged(shared: Any, own: Any, path: tuple[str, ...]) -> Any:
    if not isinstance(own, dict):
        return own
    if not isinstance(shared, dict) or (_is_map(path) and _other_form(shared, own)):
        shared = {}
    made = {key: value for key, value in shared.items() if key not in own}
    for key, value in own.items():
        if value is not None:
            made[key] = _merged(shared.get(key), value, (*path, key))
    return made


def _is_map(path: tuple[str, ...]) -> bool:
    return path[:1] == ("controls",) and path[2:3] == ("map",)


def _other_form(shared: Mapping[str, Any], own: Mapping[str, Any]) -> bool:
    forms = [key for key in FORMS if key in own]
    return bool(forms) and not any(key in shared for key in forms)


def _is_short(control: Any) -> bool:
    """Tell whether *control* is its map alone."""
    if isinstance(control, dict):
        return "map" not in control and any(key in control for key in FORMS)
    return isinstance(control, (str, int, float))
