"""Write what a run did as one web page that needs nothing but itself."""

# T frames, H W rows and columns

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from fractions import Fraction
from html import escape
from pathlib import Path

import numpy as np

from worldweave.base import Frames
from worldweave.io.files import atomic_path
from worldweave.report import chart, colours, pictures
from worldweave.report.page_parts import clips, markup
from worldweave.report.run import RunReport

#: x264's quality of the clips: a page shows, the files beside it are the result.
_CRF = 18
#: Characters of a prompt that are shown at once.
_AT_ONCE = 360
#: Seconds a clip takes at least at the speed the page starts with.
_CALM = 2.5
#: Clips up to this many pixels across show their pixels as squares.
_FEW_PIXELS = 240
#: How many cards stand side by side, by how many there are.
_COLUMNS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 3, 6: 3}


def write(report: RunReport, path: Path) -> Path:
    """Write *report* as the page *path*, whole or not at all; return *path*."""
    with atomic_path(path) as temporary:
        temporary.write_text(render(report), "utf-8")
    return path


def render(report: RunReport) -> str:
    """Return *report* as HTML; style, script and videos are inside."""
    package = "worldweave.report"
    height, width = report.frames.shape[1:3]
    parts = {
        "pair": _pair(report),
        "maps": _maps(report),
        "request": escape(json.dumps(report.request, indent=2, ensure_ascii=False)),
        "licences": _licences(report),
        "small_print": markup.items(_small_print(report)),
    }
    main = markup.fill(markup.asset(package, "report.html"), parts)
    kinds = {"pixels": width <= _FEW_PIXELS, "tall": width < height}
    kind = " ".join(name for name, holds in kinds.items() if holds)
    length = len(report.frames)
    return markup.whole_page(
        title=report.title,
        header=_header(report),
        player=markup.player(speed=_speed(length, report.fps), hidden=length == 1),
        main=f'<div class="{kind}" style="--ratio: {width / height:.4f}">{main}</div>',
        style=markup.asset(package, "report.css"),
        script=markup.asset(package, "report.js"),
        without_script="Without JavaScript the clips do not move here; as mp4 they "
        "lie beside this page.",
    )


def _speed(length: int, fps: Fraction) -> float:
    """Return the fastest speed at which the clips are not over at once."""
    speeds = (1.0, 0.5, 0.25)
    return next((s for s in speeds if length / fps / s >= _CALM), speeds[-1])


def _header(report: RunReport) -> str:
    facts = markup.terms([("base", report.base), *report.facts])
    return (
        f"<h1>{escape(report.title)}</h1>{_prompt(report.prompt)}"
        f"{_negative(report.negative_prompt)}"
        f'<dl class="facts">{facts}</dl>{_left_out(report)}'
    )


def _prompt(prompt: str) -> str:
    if not prompt.strip():
        return '<p class="prompt">No prompt.</p>'
    if len(prompt) <= _AT_ONCE:
        return f'<p class="prompt">“{escape(prompt)}”</p>'
    return (
        '<details class="prompt"><summary><span>'
        f"“{escape(prompt[:_AT_ONCE].rstrip())} …</span></summary>"
        f"“{escape(prompt)}”</details>"
    )


def _negative(prompt: str) -> str:
    if not prompt.strip():
        return ""
    return (
        '<details class="prompt negative"><summary>Negative prompt</summary>'
        f"{escape(prompt)}</details>"
    )


def _left_out(report: RunReport) -> str:
    if not report.left_out:
        return ""
    lines = markup.items(
        f"{n} did not run: {why}" for n, why in report.left_out.items()
    )
    return f'<ul class="left-out">{lines}</ul>'


def _pair(report: RunReport) -> str:
    source = "" if report.source is None else _clip(report, "source", report.source)
    return source + _clip(report, "output", report.frames)


def _clip(report: RunReport, label: str, frames: Frames, what: str = "") -> str:
    size = pictures.shown_size(frames)
    stream = pictures.scaled(frames, size, len(report.frames))
    return _stream(report, label, stream, size, what)


def _stream(
    report: RunReport,
    label: str,
    frames: Iterable[Frames],
    size: tuple[int, int],
    what: str = "",
) -> str:
    return clips.clip(
        label,
        f"{what}: {label}" if what else label,
        frames,
        length=len(report.frames),
        size=size,
        fps=report.fps,
        crf=_CRF,
    )


def _maps(report: RunReport) -> str:
    """Return who decides where, the charts, and a card for each modality."""
    if not report.effective:
        return (
            '<section><p class="note alone">No control ran: the prompt decides alone.'
            "</p></section>"
        )
    panels = chart.panels(report.effective, report.regions)
    under = _small(report, report.frames if report.source is None else report.source)
    count = len(report.effective)
    parts = {
        "blend": _stream(
            report,
            "who decides",
            pictures.who_decides(list(report.effective.values()), under),
            pictures.shown_size(under),
        ),
        "charts": "".join(
            chart.figure(panel, report.chunk_starts, report.fps) for panel in panels
        ),
        "under": "source" if report.source is not None else "control",
        "ramp": _ramp(),
        "layout": " beside" * (count <= 2),
        "columns": str(_COLUMNS.get(count, 4)),
        "cards": "".join(_cards(report, panels, under)),
    }
    return markup.fill(markup.asset("worldweave.report", "maps.html"), parts)


def _ramp() -> str:
    """Return the colours of 0 to 1 as they look over mid-grey, for CSS."""
    ramp = colours.RAMP[None, ::15]
    (seen,) = colours.over_grey(ramp, np.full_like(ramp, 128))
    return ", ".join(colours.in_css(each) for each in seen)


def _small(report: RunReport, frames: Frames) -> Frames:
    """Scale *frames* down once, to be laid under every map."""
    size = pictures.shown_size(frames)
    return np.stack(list(pictures.scaled(frames, size, len(report.frames))))


def _cards(
    report: RunReport, panels: list[chart.Panel], under: Frames
) -> Iterator[str]:
    for at, (name, values) in enumerate(report.effective.items()):
        control = report.controls.get(name)
        if control is None:
            seen = clips.no_clip("it needs no control")
        else:
            seen = _clip(report, "control", control, name)
        below = under if report.source is not None or control is None else control
        shown = pictures.overlay(values, below)
        hue = colours.in_css(colours.hue(at))
        yield (
            f'<figure class="card"><figcaption><h3><i style="background: {hue}"></i>'
            f"{escape(name)}</h3><p>{escape(_numbers(report, name, panels))}</p>"
            f"</figcaption>{seen}"
            f"{_stream(report, 'map', shown, pictures.shown_size(below), name)}"
            "</figure>"
        )


def _numbers(report: RunReport, name: str, panels: list[chart.Panel]) -> str:
    """Return the means of a map in words, and its schedule."""
    whole, *regions = panels
    said = [f"mean {chart.shown(chart.mean(whole.means[name]))}"]
    said += [f"{r.title} {chart.shown(chart.mean(r.means[name]))}" for r in regions]
    if name in report.schedules:
        said.append(report.schedules[name])
    return " · ".join(said)


def _licences(report: RunReport) -> str:
    if not report.licences:
        return ""
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
        for row in report.licences
    )
    heads = "".join(
        f'<th scope="col">{head}</th>' for head in ("what", "licence", "from")
    )
    return (
        '<section class="licences" aria-labelledby="licences">'
        '<h2 id="licences">Licences</h2>'
        f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></section>"
    )


def _small_print(report: RunReport) -> Iterator[str]:
    height, width = report.frames.shape[1:3]
    seen = pictures.shown_size(report.frames)
    if seen != (height, width):
        yield (
            f"Clips are shown {seen[1]} pixels wide, the output is {width}x{height}; "
            "no frame is left out. The files beside this page have the full size."
        )
    else:
        yield "Clips are shown with all their frames; the files lie beside this page."
    if report.effective:
        rows, columns = next(iter(report.effective.values())).shape[1:]
        yield (
            f"Maps are shown as they are used: after normalisation, on the grid of "
            f"{rows} by {columns} tokens, each a block of one value."
        )
        share = round(100 * colours.COLOUR_SHARE)
        yield (
            f"In a map {share} % of a pixel is the colour of its value, the rest the "
            "picture in grey."
        )
        if len(report.chunk_starts) > 1:
            yield "Thin upright lines in the charts are where a new chunk begins."
    yield "The page is one file. Nothing on it is loaded from elsewhere."
