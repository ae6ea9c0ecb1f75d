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
    """Yield the shapes of *op* that *asked* names: a preset, or "L=4096,D=1024".

    Axes that are left out are those of `tiny`, with four branches; M is then L. Of
    a preset, `control_inject` takes four branches only.
    Raise ValueError for an unknown preset or axis, and for sizes that do not fit.
    """
    axes = PRESETS[asked] if asked in PRESETS else _given(asked)
    axes = {"U": (1,), **axes}
    if asked in PRESETS and op == "control_inject":
        axes["N"] = (4,)
    found: list[dict[str, int]] = [{}]
    for axis in OF_OP[op]:
        found = [{**each, axis: size} for each in found for size in axes[axis]]
    for shape in found:
        _refuse_misfit(shape)
        yield {axis: shape[axis] for axis in AXES if axis in shape}


def _given(asked: str) -> dict[str, tuple[int, ...]]:
    axes = dict(PRESETS["tiny"], N=(4,))
    given: dict[str, tuple[int, ...]] = {}
    for entry in asked.split(","):
        axis, _, size = entry.strip().partition("=")
        if axis not in AXES or not size.isdecimal() or int(size) < 1:
            known = ", ".join(f"{axis} ({means})" for axis, means in AXES.items())
            raise ValueError(
                f"{entry.strip()!r} in the shapes {asked!r} is no preset "
                f"({', '.join(PRESETS)}) and no axis with a size; write axes like "
                f"L=4096,D=1024, of {known}"
            )
        given[axis] = (int(size),)
    axes["M"] = given.get("L", axes["L"])
    return {**axes, **given}


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
