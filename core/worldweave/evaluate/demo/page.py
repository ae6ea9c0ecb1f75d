"""Write the demonstration as one web page that needs nothing but itself."""

# T frames, H W rows and columns

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from html import escape

import attrs

from worldweave.base import Frames
from worldweave.evaluate.demo.scoreboard import Row, Scoreboard
from worldweave.report.page_parts import clips, markup

_SIZES = (
    '<label>Size <select id="size">\n<option value="2">2&times;</option>'
    '<option value="3" selected>3&times;</option><option value="4">4&times;</option>\n'
    "</select></label>"
)


@attrs.frozen(kw_only=True, eq=False)
class Picture:
    """A clip uint8 (T, H, W, 3), or none of it, with what it is."""

    label: str
    frames: Frames | None


@attrs.frozen(kw_only=True, eq=False)
class Card:
    """Clips that belong together, one below the other."""

    title: str
    note: str
    pictures: tuple[Picture, ...]
    score: str = ""


@attrs.frozen(kw_only=True, eq=False)
class Group:
    """A row of cards under a heading."""

    title: str
    note: str
    cards: tuple[Card, ...]
    scoreboard: Scoreboard | None = None


@attrs.frozen(kw_only=True, eq=False)
class Scene:
    """Everything about one subject; all its clips have one length."""

    title: str
    note: str
    fps: Fraction
    groups: tuple[Group, ...]


@attrs.frozen(kw_only=True, eq=False)
class Page:
    """The whole page. commands: what a command is for, and the command."""

    title: str
    lead: str
    facts: tuple[tuple[str, str], ...]
    scenes: tuple[Scene, ...]
    commands: tuple[tuple[str, str], ...]
    small_print: tuple[str, ...]


def render(page: Page) -> str:
    """Return *page* as HTML; style, script and videos are inside."""
    parts = {
        "scenes": "".join(_scene(at, each) for at, each in enumerate(page.scenes)),
        "commands": "".join(_command(what, line) for what, line in page.commands),
        "small_print": markup.items(page.small_print),
    }
    package = "worldweave.evaluate.demo"
    return markup.whole_page(
        title=page.title,
        header=(
            f'<h1>{escape(page.title)}</h1>\n<p class="lead">{escape(page.lead)}</p>\n'
            f'<dl class="facts">{markup.terms(page.facts)}</dl>'
        ),
        player=markup.player(speed=0.25, settings=_SIZES),
        main=markup.fill(markup.asset(package, "page.html"), parts),
        style=markup.asset(package, "page.css"),
        script=markup.asset(package, "page.js"),
        without_script="Without JavaScript the clips do not move here; as mp4 they "
        "lie in the folders beside this page.",
    )


def _scene(at: int, scene: Scene) -> str:
    groups = "".join(_group(group, scene.fps) for group in scene.groups)
    return (
        f'<section class="scene" aria-labelledby="scene-{at}">'
        f'<h2 id="scene-{at}">{escape(scene.title)}</h2>'
        f'<p class="note">{escape(scene.note)}</p>{groups}</section>'
    )


def _group(group: Group, fps: Fraction) -> str:
    cards = "".join(_card(card, fps) for card in group.cards)
    board = "" if group.scoreboard is None else _table(group.scoreboard)
    return (
        f"<h3>{escape(group.title)}</h3>"
        f'<p class="note">{escape(group.note)}</p>'
        f'<div class="cards">{cards}</div>{board}'
    )


def _card(card: Card, fps: Fraction) -> str:
    pictures = "".join(_picture(card.title, each, fps) for each in card.pictures)
    score = f'<p class="score">{escape(card.score)}</p>' if card.score else ""
    return (
        f'<figure class="card"><figcaption><h4>{escape(card.title)}</h4>'
        f"<p>{escape(card.note)}</p></figcaption>{pictures}{score}</figure>"
    )


def _picture(title: str, picture: Picture, fps: Fraction) -> str:
    if picture.frames is None:
        return clips.no_clip(picture.label)
    return clips.clip(
        picture.label,
        f"{title}: {picture.label}",
        picture.frames,
        length=len(picture.frames),
        size=(picture.frames.shape[1], picture.frames.shape[2]),
        fps=fps,
    )


def _table(board: Scoreboard) -> str:
    heads = "".join(
        f'<th scope="col">{escape(column.head)}'
        + ("<small>judge</small>" if column.judged else "")
        + "</th>"
        for column in board.columns
    )
    rows = "".join(_row(board, row) for row in board.rows)
    meanings = markup.terms(_meanings(board))
    return (
        f'<div class="scores" tabindex="0"><table><caption>{escape(board.caption)}'
        f'</caption><thead><tr><th scope="col">clip</th>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
        + (f'<dl class="meanings">{meanings}</dl>' if meanings else "")
    )


def _meanings(board: Scoreboard) -> Sequence[tuple[str, str]]:
    """Return what each metric of *board* means; regions have the same metrics."""
    return [(c.metric, c.meaning) for c in board.columns if not c.region]


def _row(board: Scoreboard, row: Row) -> str:
    cells = "".join(
        _cell(score, board.is_best(row, at)) for at, score in enumerate(row.scores)
    )
    kind = ' class="bound"' if row.is_bound else ""
    return f'<tr{kind}><th scope="row">{escape(row.title)}</th>{cells}</tr>'


def _cell(score: float, is_best: bool) -> str:
    if is_best:
        return f'<td class="best">{shown(score)}<span> best</span></td>'
    return f"<td>{shown(score)}</td>"


def shown(score: float) -> str:
    """Return a score in three decimals, a dash for what is no number."""
    return "\u2013" if math.isnan(score) else f"{score:.3f}"


def _command(what: str, command: str) -> str:
    return (
        f'<li><p>{escape(what)}</p><div class="command"><code>{escape(command)}</code>'
        '<button type="button" class="copy">Copy</button></div></li>'
    )
