"""Check what values a control holds: its range, its colours, its labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from worldweave.train.data.look_finding import Finding, shared
from worldweave.train.data.look_sample import Seen
from worldweave.train.data.look_viewing import MOST_COLOURS, Viewing
from worldweave.train.words import counted
from worldweave_registry import Modality

#: A control up to here was saved as 0..1; compression adds a level.
_UNSCALED = 2
#: No picture that was scaled to 0..255 is as dark as that.
_DARK = 40
#: The ends of video range, how near to them is at them, how far compression swings
#: beyond, and how much of a picture is black at least.
_BLACK, _WHITE, _NEAR, _SWING, _SOME_BLACK = 16, 235, 4, 8, 0.02
_SATURATED, _NEARLY_ALL = 250, 0.98
#: Channels that differ by less are gray, for compression makes some colour; by more,
#: coloured.
_GRAY, _COLOUR = 0.05, 0.15
#: A colour on so many of the pixels is one of the palette. Where there are several
#: times as many colours besides, compression made them.
_OF_THE_PALETTE, _TIMES, _MANY = 0.002, 4, 64
#: Fewer label videos than that have no colours in common to speak of.
_LEAST = 3


def value_findings(seen: Sequence[Seen], modality: Modality) -> list[Finding]:
    """Tell which controls hold values that no such control should hold."""
    films = {s.sample.name: s.control for s in seen if s.control is not None}
    found = [
        *_unscaled(films, modality.name),
        *_dark(films, modality),
        *_even(films, modality.name),
        *_saturated(films, modality.name),
        *_flat_frames(films, modality.name),
    ]
    if modality.is_label_video:
        return [*found, *_labels(films, modality.name)]
    return [
        *found,
        *_video_range(films, modality.name),
        *_channels(seen, modality.name),
    ]


def _unscaled(films: Mapping[str, Viewing], modality: str) -> list[Finding]:
    unscaled = {n: f for n, f in films.items() if _is_unscaled(f)}
    return shared(
        "error" if _is_sure(unscaled.values()) else "warning",
        modality,
        {name: f"up to {film.highest}" for name, film in unscaled.items()},
        len(films),
        "control",
        ("is as good as black", "are as good as black"),
        f"Values go from 0 (black) to 255 (white), and here none is above {_UNSCALED}. "
        "It was probably computed as 0 to 1 and saved without multiplying by 255.",
        "multiply by 255 before saving",
    )


def _dark(films: Mapping[str, Viewing], modality: Modality) -> list[Finding]:
    def told(film: Viewing) -> str:
        is_dark = _UNSCALED < film.highest <= _DARK and not _is_even(film)
        return f"up to {film.highest}" if is_dark else ""

    why, mend = (
        "The values should use the whole range from 0 (black) to 255 (white); packed "
        "into the lowest few, they can hardly be told apart.",
        "scale the values so that they use 0 to 255",
    )
    if modality.is_label_video:
        why, mend = (
            "It seems to hold the numbers of classes. Colours that lie one step apart "
            "can hardly be told from each other.",
            "give each class a colour that is clearly different from the others",
        )
    verb = ("is very dark", "are very dark")
    return _warned(films, modality.name, told, verb, why, mend)


def _even(films: Mapping[str, Viewing], modality: str) -> list[Finding]:
    even = {n: f"all {f.percentile(0.5)}" for n, f in films.items() if _is_even(f)}
    return shared(
        # One empty scene may be; if every scene is empty, something went wrong.
        "error" if len(even) == len(films) and _is_sure(films.values()) else "warning",
        modality,
        even,
        len(films),
        "control",
        ("shows one even colour", "show one even colour"),
        "An empty control tells the branch nothing; it learns to ignore controls. "
        "The numbers are the values, 0 (black) to 255 (white).",
        "make it again, or remove the sample; leave it if the scene really is empty",
    )


def _saturated(films: Mapping[str, Viewing], modality: str) -> list[Finding]:
    def told(film: Viewing) -> str:
        white = film.share(_SATURATED, 255)
        return f"{white:.0%}" if white > _NEARLY_ALL and not _is_even(film) else ""

    return _warned(
        films,
        modality,
        told,
        ("is nearly all white", "are nearly all white"),
        "So many of its values are at the upper end that hardly anything is left to "
        "see; they were probably multiplied once too often, or cut off.",
        "scale the values so that they use 0 to 255",
    )


def _flat_frames(films: Mapping[str, Viewing], modality: str) -> list[Finding]:
    def told(film: Viewing) -> str:
        is_flat = 0 < film.flat < film.seen and not _is_unscaled(film)
        return f"{film.flat} of {film.seen} frames" if is_flat else ""

    return _warned(
        films,
        modality,
        told,
        ("has frames of one even colour", "have frames of one even colour"),
        "These frames say nothing, as if the maker of the control had failed there.",
        "look at them; leave them if the scene really is empty there",
    )


def _video_range(films: Mapping[str, Viewing], modality: str) -> list[Finding]:
    def told(film: Viewing) -> str:
        ends = f"{film.percentile(0.001)} to {film.percentile(0.999)}"
        return ends if _is_video_range(film) else ""

    return _warned(
        films,
        modality,
        told,
        ("uses only the values 16 to 235", "use only the values 16 to 235"),
        "That is how video files store black and white inside; here it was probably "
        "not scaled back to 0 to 255, so black is gray.",
        "save it again with full range, where black is 0 and white 255",
    )


def _channels(seen: Sequence[Seen], modality: str) -> list[Finding]:
    """Compare gray and coloured with what the preprocessor makes."""
    coloured, gray, total = {}, [], 0
    for each in seen:
        if each.control is None or each.made_colourful is None:
            continue
        total += 1
        name, given = each.sample.name, each.control.colourful
        if each.made_colourful < _GRAY and given > _COLOUR:
            coloured[name] = f"red, green and blue differ by {given:.0%}"
        elif each.made_colourful > _COLOUR and given < _GRAY:
            gray.append(name)
    why = (
        f"What the preprocessor of {modality!r} makes is {{}}. A branch that is "
        "trained on the one and used with the other does worse."
    )
    return [
        *shared(
            "warning",
            modality,
            coloured,
            total,
            "control",
            ("is coloured", "are coloured"),
            why.format("gray"),
            "save the control as gray: the same value in all three channels",
        ),
        *shared(
            "warning",
            modality,
            gray,
            total,
            "control",
            ("is gray", "are gray"),
            why.format("coloured"),
            "save the control in colour",
        ),
    ]


def _labels(films: Mapping[str, Viewing], modality: str) -> list[Finding]:
    blurred = {
        name: f"{len(film.colours)}{'+' if len(film.colours) >= MOST_COLOURS else ''}"
        for name, film in films.items()
        if _is_blurred(film.colours)
    }
    sharp = {name: film for name, film in films.items() if name not in blurred}
    return [
        *shared(
            "warning",
            modality,
            blurred,
            len(films),
            "control",
            ("has far more colours than classes", "have far more colours than classes"),
            "In a label video each class has one exact colour. A file such as an "
            "ordinary .mp4 is compressed with losses: colours are slightly off, and "
            "at borders they mix into colours of no class. The numbers count them.",
            "save without losses: a .npy of uint8 (frames, rows, columns, 3), or .mkv "
            "with the codec FFV1 in RGB",
        ),
        *_palette(sharp, modality),
        *_strange_colours(sharp, modality),
    ]


def _palette(sharp: Mapping[str, Viewing], modality: str) -> list[Finding]:
    if not sharp:
        return []
    everything: Counter[int] = Counter()
    for film in sharp.values():
        everything.update(film.colours)
    most = [f"#{colour:06x}" for colour, _ in everything.most_common(6)]
    more = len(everything) - len(most)
    files = counted(len(sharp), "file")
    return [
        Finding(
            severity="note",
            subject=modality,
            says=f"{counted(len(everything), 'colour')} in {files}, most often "
            f"{', '.join(most)}{f' and {more} more' if more else ''}. Each colour is "
            "taken for a class; the same class must have the same colour in all files.",
            mend="",
        )
    ]


def _strange_colours(sharp: Mapping[str, Viewing], modality: str) -> list[Finding]:
    """Name the files most of whose pixels have colours that no other file has."""
    if len(sharp) < _LEAST:
        return []
    files: Counter[int] = Counter()
    for film in sharp.values():
        files.update(set(film.colours))
    strange = {}
    for name, film in sharp.items():
        own = [colour for colour in film.colours if files[colour] == 1]
        if own and any(files[colour] > 1 for colour in files):
            share = sum(film.colours[c] for c in own) / film.colours.total()
            strange[name] = f"{counted(len(own), 'colour')}, {share:.0%} of the picture"
    return shared(
        "warning",
        modality,
        strange,
        len(sharp),
        "control",
        (
            "has colours that no other file has",
            "have colours that no other file has",
        ),
        "If the same class has another colour in each file, the branch cannot learn "
        "what a colour means.",
        "use one table of colours for all files; leave it if that thing really occurs "
        "in this file alone",
    )


def _warned(
    films: Mapping[str, Viewing],
    modality: str,
    told: Callable[[Viewing], str],
    verb: tuple[str, str],
    why: str,
    mend: str,
) -> list[Finding]:
    """Warn of the controls of which *told* has something to tell."""
    details = {name: told(film) for name, film in films.items()}
    who = {name: detail for name, detail in details.items() if detail}
    return shared("warning", modality, who, len(films), "control", verb, why, mend)


def _is_sure(films: Iterable[Viewing]) -> bool:
    """Tell whether all was seen: many a film begins in the dark."""
    return all(film.seen == film.frames for film in films)


def _is_unscaled(film: Viewing) -> bool:
    return 0 < film.highest <= _UNSCALED and film.levels[0] < film.levels.sum()


def _is_video_range(film: Viewing) -> bool:
    low, high = film.percentile(0.001), film.percentile(0.999)
    black = film.share(_BLACK - _NEAR, _BLACK + _NEAR)
    return (
        _BLACK - _SWING <= low <= _BLACK + _NEAR
        and _WHITE - _NEAR <= high <= _WHITE + _SWING
        and black >= _SOME_BLACK
    )


def _is_even(film: Viewing) -> bool:
    return film.flat == film.seen and not _is_unscaled(film)


def _is_blurred(colours: Counter[int]) -> bool:
    total = colours.total()
    palette = sum(count >= _OF_THE_PALETTE * total for count in colours.values())
    return len(colours) > max(_MANY, _TIMES * palette)
