"""Lay out what is known of plugins for a terminal: tables and pages of words."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from worldweave.cli.plugin_facts import TO_FETCH, Record

#: A row of a page: what it is about, if that must be told, and what is to be said.
Row: TypeAlias = "tuple[str | None, str]"
#: A heading and its rows.
Section: TypeAlias = tuple[str, list[Row]]
_LABEL = 16
_GAP = 2
#: Less room than this is too little for the last column of a table.
_NARROW = 30
#: Lines longer than this are hard to read, however wide the terminal is.
_WIDEST = 100


def say(text: str) -> None:
    """Print *text*; what the terminal cannot show, or must not obey, becomes ?."""
    shown = "".join(c if c.isprintable() or c == "\n" else "?" for c in text)
    encoding = sys.stdout.encoding or "utf-8"
    print(shown.encode(encoding, "replace").decode(encoding))


def columns() -> int | None:
    """Return the width of the terminal; None where the output is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def table(rows: Sequence[Sequence[str]], width: int | None = None) -> str:
    """Align *rows*, the first a heading; the last column is wrapped into *width*.

    Where there is too little room for it, it stands below.
    """
    last = len(rows[0]) - 1
    widths = [max(len(row[column]) for row in rows) for column in range(last)]
    begin = sum(widths) + _GAP * last
    is_below = width is not None and width - begin < _NARROW
    if is_below:
        begin = 2 * _GAP
    lines: list[str] = []
    for row in rows:
        cells = zip(row[:last], widths, strict=True)
        first = "".join(cell.ljust(wide + _GAP) for cell, wide in cells)
        told = _wrapped(row[last], None if width is None else width - begin)
        if not is_below:
            first += "".join(told[:1])
            told = told[1:]
        lines.append(first.rstrip())
        lines += [" " * begin + line for line in told]
    return "\n".join(lines)


def page(record: Record, width: int | None = None) -> str:
    """Tell all that a record of `plugin_facts` has of a modality, base or plugin."""
    width = min(width or 80, _WIDEST)
    if record["kind"] in ("plugin", "distribution"):
        plugins = record.get("plugins", [record])
        return "\n\n".join(_plugin_page(plugin, width) for plugin in plugins)
    sections: list[Section] = [
        (f"{record['name']}: {record['summary']}", []),
        ("where it comes from", list(_origin(record["plugin"]))),
        (f"what the {record['kind']} says", list(_fields(record))),
    ]
    if record["kind"] == "modality":
        sections += list(_parts_of_a_modality(record))
    sections.append(("weights", list(_weights(record))))
    return _laid_out(sections, width)


def size_in_words(count: int | None) -> str:
    """Say a number of bytes, or that it is not known."""
    from worldweave.io.files import readable_size

    return "size not known" if count is None else readable_size(count)


def _laid_out(sections: Iterable[Section], width: int) -> str:
    blocks = []
    for heading, rows in sections:
        lines = _wrapped(heading, width)
        for label, told in rows:
            begin = _GAP if label is None else _LABEL + 2 * _GAP
            words = [" " * begin + line for line in _wrapped(told, width - begin)]
            if label and words and len(label) <= _LABEL:
                words[0] = " " * _GAP + label + words[0][_GAP + len(label) :]
            elif label:
                lines.append(" " * _GAP + label)
            lines += words
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _wrapped(text: str, width: int | None) -> list[str]:
    """Break *text* between words; paths and addresses stay whole."""
    if width is None:
        return [text]
    return textwrap.wrap(
        text, max(width, 20), break_long_words=False, break_on_hyphens=False
    )


def _plugin_page(record: Record, width: int) -> str:
    refused: list[Row] = [("refused", line) for line in record["refused"]]
    supplied: list[Row] = [
        ("modalities", ", ".join(record["modalities"]) or "none"),
        ("bases", ", ".join(record["bases"]) or "none"),
        ("hooks", ", ".join(record["hooks"]) or "none"),
    ]
    sections: list[Section] = [
        (f"{record['plugin']}, a plugin", [*_origin(record), *refused]),
        ("what it supplies", supplied if record["state"] == "ready" else []),
    ]
    return _laid_out(sections[: 2 if record["state"] == "ready" else 1], width)


def _origin(plugin: Record) -> Iterator[Row]:
    yield "plugin", plugin["plugin"]
    yield "version", plugin["version"]
    state = plugin["state"]
    yield "state", f"{state}: {plugin['problem']}" if plugin["problem"] else state
    if plugin["remark"]:
        yield "remark", plugin["remark"]
    yield "entry point", plugin["entry"] or "not known"
    yield "folder", plugin["folder"] or "not known"
    yield "licence", plugin["license"] or "not told"
    yield "home page", plugin["home"] or "not told"
    yield "issue tracker", plugin["tracker"] or "not told"


#: What each field of a description is called on a page. Those that have a section
#: of their own, or stand in the heading, are None.
WORDS: dict[str, str | None] = {
    "name": None,
    "summary": None,
    "preprocessor": None,
    "recipe": None,
    "metric": None,
    "weights": None,
    "license": "licence",
    "branch": "branch",
    "is_label_video": "label video",
    "default_map": "default map",
    "metadata": "metadata",
    "config": "sizes of the DiT",
    "autoencoder": "autoencoder",
    "text_encoder": "text encoder",
    "chunk_frames": "frames at once",
    "sizes": "sizes",
    "fps": "frames a second",
    "strides": "strides",
    "steps": "steps",
    "guidance": "guidance",
    "check_prompt": "prompt check",
    "clips": "clips",
    "trainings": "other trainings",
    "metrics": "metrics",
    "cost": "cost",
    "foreground": "foreground",
    "modalities": "modalities",
}
_ABOUT = {
    "is_label_video": ("no", "yes: it is scaled without mixing colours"),
}


def _fields(record: Record) -> Iterator[Row]:
    for name, value in record.items():
        if name in ("kind", "plugin", "refused"):
            continue
        label = WORDS.get(name, name.replace("_", " "))
        if label is not None:
            yield label, _field_in_words(name, value)
    if record["refused"]:
        yield "refused", record["refused"]
    if record["kind"] == "base":
        yield "recipe", recipe_in_words(record["recipe"])


def _field_in_words(name: str, value: Any) -> str:
    if name in _ABOUT:
        return _ABOUT[name][value]
    if name == "default_map":
        return f"{value:g} where a request gives none"
    if name == "sizes":
        return ", ".join(f"{width}x{height}" for height, width in value) + " pixels"
    if name == "strides":
        return f"{value[0]} frames and {value[1]} pixels a latent position"
    if name == "steps":
        return f"{value} where a request names none"
    if name == "guidance":
        return f"{value:g} where a request names none"
    if name == "modalities":
        return f"with weights: {', '.join(value) or 'none'}"
    if name == "config":
        return _with_problem(value) + _config_in_words(value.get("values", {}))
    return _in_words(value)


def _in_words(value: Any) -> str:
    if value is None or value in ({}, []):
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping) and "path" in value:
        return _with_problem(value)
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {_in_words(each)}" for name, each in value.items())
    if isinstance(value, list):
        return ", ".join(map(_in_words, value))
    return str(value)


def _with_problem(part: Mapping[str, Any]) -> str:
    problem = part.get("problem")
    return f"{part['path']}; {problem}" if problem else str(part["path"])


def _config_in_words(values: Mapping[str, Any]) -> str:
    told = {name.replace("_", " "): value for name, value in values.items()}
    return "; " + _in_words(told) if told else ""


def _parts_of_a_modality(record: Record) -> Iterator[Section]:
    name, preprocessor = record["name"], record["preprocessor"]
    if preprocessor is None:
        told = "none: users bring the control video"
        yield "preprocessor", [(None, f"{told} (--control-video {name}=FILE)")]
    else:
        yield "preprocessor", list(_preprocessor(preprocessor))
        if preprocessor.get("options"):
            heading = f"options, such as --option {name}.NAME=VALUE"
            yield heading, list(_options(preprocessor["options"]))
    yield "recipe", [(None, recipe_in_words(record["recipe"]))]
    yield "metric", [(None, _metric_in_words(record["metric"]))]


def _preprocessor(part: Record) -> Iterator[Row]:
    yield "class", _with_problem(part)
    if part["problem"]:
        return
    if part["about"]:
        yield "what it does", part["about"]
    per_frame = "each frame by itself" if part["per_frame"] else "the clip as a whole"
    yield "looks at", per_frame
    if not part["options"]:
        yield "options", "none"


def _options(options: list[Record]) -> Iterator[Row]:
    first_told: dict[str, str] = {}
    for option in options:
        default = f"default {_in_words(option['default'])}"
        needed = "required" if option["is_required"] else default
        yield option["name"], f"{option['type']}; {needed}"
        # A docstring may tell of several options at once.
        first = first_told.setdefault(option["about"], option["name"])
        yield "", option["about"] if first == option["name"] else f"see {first}"


def recipe_in_words(part: Record | None) -> str:
    """Say in a few lines how a branch, or a base, is trained."""
    if part is None:
        return "none: it cannot be trained here"
    if part["problem"]:
        return _with_problem(part)
    dataset = part["dataset"]
    clips = "the base's own" if dataset is None else _with_problem(dataset)
    drawn = "; ".join(
        f"{name} drawn from {', '.join(map(_in_words, choices))}"
        for name, choices in part["random_options"].items()
    )
    return (
        f"{part['path']}: {part['steps']} steps of {part['batch_size']} clips for "
        f"{part['base']} (clips: {clips}); learning rate {part['learning_rate']:g}, "
        f"{part['warmup']} steps up, the last {part['cooldown']:.0%} down; log sigma "
        f"{part['sigma_mean']:g} with spread {part['sigma_std']:g}"
        + (f"; {drawn}" if drawn else "")
    )


def _metric_in_words(part: Record | None) -> str:
    if part is None:
        return "none of its own"
    if part["problem"]:
        return _with_problem(part)
    better = "higher" if part["higher_is_better"] else "lower"
    best = "" if part["best"] is None else f", {_in_words(part['best'])} is best"
    about = f" {part['about'].rstrip('.')}" if part["about"] else ""
    return f"{part['path']}:{about} ({better} is better{best})"


def _weights(record: Record) -> Iterator[Row]:
    if not record["weights"]:
        yield None, "none"
    for each in record["weights"]:
        label = each["part"] if record["kind"] == "base" else each["base"]
        if record["kind"] == "modality" and each["part"] != "branch":
            label += f" {each['part']}"
        absent = "to be fetched" if TO_FETCH in each["problem"] else "missing"
        there = "there" if each["is_present"] else absent
        if each["refused"]:
            there += ", refused"
        checksum = "checksum known" if each["sha256"] else "no checksum"
        yield label, f"{there}, {size_in_words(each['bytes'])}, {checksum}"
        yield "", f"licence {each['license']}"
        yield "", each["path"] if each["is_present"] else each["problem"]
