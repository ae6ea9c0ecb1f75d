"""The sizes to measure at: presets by name, or given axis by axis."""

# B batch, L M token, D hidden, H head, K inner, N branch, U rank

from __future__ import annotations

from collections.abc import Iterator, Mapping

Shape = Mapping[str, int]

#: What each axis means, in the order they are printed.
AXES = {
    "L": "tokens",
    "M": "keys of attention, if not L",
    "D": "hidden width",
    "H": "heads",
    "N": "branches",
    "U": "ranks that the heads are packed for",
}

#: The axes of each operation.
OF_OP = {
    "weighted_add": ("L", "D", "N"),
    "attention": ("L", "M", "D", "H"),
    "qk_norm_rope_pack": ("L", "D", "H", "U"),
    "norm_modulate": ("L", "D"),
    "gate_residual_norm_modulate": ("L", "D"),
    "control_inject": ("L", "D", "N"),
}

#: Sizes by name. An axis with several sizes makes a case of each.
PRESETS: dict[str, dict[str, tuple[int, ...]]] = {
    # 121 frames of 704 x 1280 after the autoencoder and patches of 2: 16 * 44 * 80.
    "cosmos-7b": {
        "L": (56320,), "M": (56320, 512), "D": (4096,), "H": (32,), "N": (1, 2, 4, 6),
    },
    "tiny": {
        "L": (1024,), "M": (1024, 128), "D": (512,), "H": (8,), "N": (1, 2, 4, 6),
    },
}  # fmt: skip


def shapes(asked: str, op: str) -> Iterator[Shape]:
    """Yield the shapes of *op* that *asked* names.

    That is a preset ("cosmos-7b"), axes ("L=4096,D=1024"), or a preset with axes of
    its own ("cosmos-7b,N=4"). Axes that are left out without a preset are those of
    `tiny`, with four branches; M is then L. Of a preset, `control_inject` takes four
    branches only, unless N is given. Raise ValueError for an unknown preset or axis,
    and for sizes that do not fit.
    """
    preset, _, others = asked.partition(",")
    if preset.strip() in PRESETS:
        axes = _changed(PRESETS[preset.strip()], _given(others, asked), op)
    else:
        given = _given(asked, asked)
        tiny = PRESETS["tiny"]
        axes = {**tiny, "N": (4,), "M": given.get("L", tiny["L"]), **given}
    axes = {"U": (1,), **axes}
    found: list[dict[str, int]] = [{}]
    for axis in OF_OP[op]:
        found = [{**each, axis: size} for each in found for size in axes[axis]]
    for shape in found:
        _refuse_misfit(shape)
        yield {axis: shape[axis] for axis in AXES if axis in shape}


def _changed(
    preset: Mapping[str, tuple[int, ...]], given: Mapping[str, tuple[int, ...]], op: str
) -> dict[str, tuple[int, ...]]:
    """Return the axes of a preset with those that were given besides."""
    axes = {**preset, **given}
    if "M" not in given:
        # The keys of self-attention are as many as its queries.
        longest = dict(zip(preset["L"], axes["L"], strict=True))
        axes["M"] = tuple(longest.get(size, size) for size in preset["M"])
    if "N" not in given and op == "control_inject":
        axes["N"] = (4,)
    return axes


def _given(entries: str, asked: str) -> dict[str, tuple[int, ...]]:
    given: dict[str, tuple[int, ...]] = {}
    for entry in entries.split(",") if entries else ():
        axis, _, size = entry.strip().partition("=")
        if axis not in AXES or not size.isdecimal() or int(size) < 1:
            known = ", ".join(f"{axis} ({means})" for axis, means in AXES.items())
            raise ValueError(
                f"{entry.strip()!r} in the shapes {asked!r} is no preset "
                f"({', '.join(PRESETS)}) and no axis with a size; write axes like "
                f"L=4096,D=1024, of {known}"
            )
        given[axis] = (int(size),)
    return given


def _refuse_misfit(shape: Shape) -> None:
    heads, hidden = shape.get("H", 1), shape["D"]
    if hidden % (2 * heads):
        raise ValueError(
            f"D={hidden} does not divide into H={heads} heads of an even width; "
            "choose D a multiple of 2 H"
        )
    if heads % shape.get("U", 1):
        raise ValueError(
            f"H={heads} heads do not divide among U={shape['U']} ranks; choose a "
            "divisor"
        )
