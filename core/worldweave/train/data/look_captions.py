"""Check the captions: can they be read, and does the base know what they say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from worldweave.request.check import prompt_problems
from worldweave.train.data.layout import CAPTIONS, DataFolder, read_caption
from worldweave.train.data.look_finding import Finding, listed, shared
from worldweave.train.data.look_videos import reason
from worldweave_registry import Base, WorldweaveError

#: The released text encoder reads 512 tokens, of some four letters each.
_LONGEST = 300
_ENDING = re.compile(r"\.(mp4|mov|mkv|webm|avi|txt)\b")
#: Fewer captions may well be the same.
_LEAST = 3


def caption_findings(folder: DataFolder, base: Base) -> list[Finding]:
    """Tell which captions cannot be used, or say nothing of their video."""
    texts: dict[str, str] = {}
    damaged: dict[str, str] = {}
    lines: dict[str, int] = {}
    for sample in folder.samples:
        if sample.caption is None:
            continue
        try:
            texts[sample.name] = read_caption(sample.caption)
            lines[sample.name] = _lines(sample.caption)
        except WorldweaveError as error:
            damaged[sample.name] = reason(str(error), sample.caption)
    total = len(texts) + len(damaged)
    return [
        *_damaged(damaged, total),
        *_empty(texts, total),
        *_long(texts, total),
        *_several_lines(lines, total),
        *_file_names(texts, total),
        *_unknown(texts, base),
        *_all_the_same(texts),
    ]


def _damaged(damaged: Mapping[str, str], total: int) -> list[Finding]:
    return shared(
        "error",
        CAPTIONS,
        damaged,
        total,
        "caption",
        ("cannot be read", "cannot be read"),
        "Training would stop there.",
        "write each as plain text, saved with the encoding UTF-8",
    )


def _empty(texts: Mapping[str, str], total: int) -> list[Finding]:
    return shared(
        "warning",
        CAPTIONS,
        [name for name, text in texts.items() if not text],
        total,
        "caption",
        ("is empty", "are empty"),
        "The video is trained with an empty prompt, as if there were no caption.",
        "write one sentence that says what the video shows",
    )


def _long(texts: Mapping[str, str], total: int) -> list[Finding]:
    words = {name: len(text.split()) for name, text in texts.items()}
    return shared(
        "warning",
        CAPTIONS,
        {name: f"{n} words" for name, n in words.items() if n > _LONGEST},
        total,
        "caption",
        ("is very long", "are very long"),
        f"Text encoders cut what they are given, many after some {_LONGEST} words: the "
        "rest is not read.",
        "say the most important first, and shorten it",
    )


def _several_lines(lines: Mapping[str, int], total: int) -> list[Finding]:
    return shared(
        "note",
        CAPTIONS,
        {name: f"{n} lines" for name, n in lines.items() if n > 1},
        total,
        "caption",
        ("has several lines", "have several lines"),
        "They are joined into one prompt.",
        "",
    )


def _file_names(texts: Mapping[str, str], total: int) -> list[Finding]:
    return shared(
        "warning",
        CAPTIONS,
        {n: repr(_short(text)) for n, text in texts.items() if _names_a_file(n, text)},
        total,
        "caption",
        ("holds the name of a file", "hold the name of a file"),
        "It should say what is to be seen; a file's name means nothing to the base.",
        "describe the video instead, or take the name out",
    )


def _unknown(texts: Mapping[str, str], base: Base) -> list[Finding]:
    """Pass on what the base says of prompts, once for all that are concerned."""
    problems = {name: prompt_problems(base, text) for name, text in texts.items()}
    concerned = [name for name, lines in problems.items() if lines]
    if not concerned:
        return []
    example = problems[concerned[0]][0]
    return shared(
        "warning",
        CAPTIONS,
        concerned,
        len(texts),
        "caption",
        (
            f"says what {base.name} does not understand",
            f"say what {base.name} does not understand",
        ),
        "Training takes no notice of what it does not understand, and a generation "
        f"refuses such a prompt. For {concerned[0]}: {example}.",
        "say it in words that the base knows, or leave them out",
    )


def _all_the_same(texts: Mapping[str, str]) -> list[Finding]:
    if len(texts) < _LEAST or len(set(texts.values())) > 1 or "" in texts.values():
        return []
    text = next(iter(texts.values()))
    return [
        Finding(
            severity="warning",
            subject=CAPTIONS,
            says=f"all {len(texts)} captions are the same: {_short(text)!r}. What is "
            "said of every video tells none from the other, so words will hardly "
            f"change what is generated ({listed(list(texts))}).",
            mend="say what is special about each video",
            samples=tuple(texts),
        )
    ]


def _names_a_file(name: str, text: str) -> bool:
    """Tell a file's name in a caption from a word: it has a digit, _ or an ending."""
    stem = name.rpartition("/")[2].lower()
    is_word = not re.search(r"[\d_]", stem) or len(stem) < 3
    said = re.findall(r"[\w.\-/]+", text.lower())
    has_ending = any(_ENDING.search(each) for each in said)
    return has_ending or (not is_word and stem in said)


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def _lines(path: Path) -> int:
    stored = path.read_bytes().decode("utf-8-sig")
    return sum(bool(line.strip()) for line in stored.splitlines())
