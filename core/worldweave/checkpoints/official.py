"""Which official Cosmos-Transfer1 key becomes which of our names."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping

import attrs

from worldweave.checkpoints.layout import Kind, kind_of, shorten
from worldweave_registry.errors import WeightsError

_ATTENTION = {
    "to_q.0.weight": "q.weight",
    "to_k.0.weight": "k.weight",
    "to_v.0.weight": "v.weight",
    "to_out.0.weight": "out.weight",
    "to_q.1.weight": "q_norm.weight",
    "to_k.1.weight": "k_norm.weight",
}
_BLOCK = (
    {
        f"blocks.{sub}.block.attn.{theirs}": f"{name}.{ours}"
        for sub, name in enumerate(("self_attention", "cross_attention"))
        for theirs, ours in _ATTENTION.items()
    }
    | {
        "blocks.2.block.layer1.weight": "mlp.up.weight",
        "blocks.2.block.layer2.weight": "mlp.down.weight",
    }
    | {
        f"blocks.{n}.adaLN_modulation.{layer}.weight": f"modulation.{n}.{name}.weight"
        for n in range(3)
        for layer, name in ((1, "down"), (2, "up"))
    }
)
#: Official to ours. "*" stands for a number that both sides share.
#: Source: tables 1.4 and 1.5 of the reference, dumped from the official modules.
RULES: Mapping[str, str] = {
    "x_embedder.proj.1.weight": "patch_embed.weight",
    "extra_pos_embedder.pos_emb_t": "positions.t",
    "extra_pos_embedder.pos_emb_h": "positions.h",
    "extra_pos_embedder.pos_emb_w": "positions.w",
    "t_embedder.1.linear_1.weight": "time.linear_1.weight",
    "t_embedder.1.linear_2.weight": "time.linear_2.weight",
    "affline_norm.weight": "time.norm.weight",
    "final_layer.linear.weight": "head.linear.weight",
    "final_layer.adaLN_modulation.1.weight": "head.modulation.down.weight",
    "final_layer.adaLN_modulation.2.weight": "head.modulation.up.weight",
    "x_embedder2.proj.1.weight": "hint_embed.weight",
    "input_hint_block.*.weight": "hint_mlp.*.weight",
    "input_hint_block.*.bias": "hint_mlp.*.bias",
    "zero_blocks.block*.weight": "zero.*.weight",
    "zero_blocks.block*.bias": "zero.*.bias",
} | {f"blocks.block*.{theirs}": f"blocks.*.{ours}" for theirs, ours in _BLOCK.items()}
_REVERSED = {ours: theirs for theirs, ours in RULES.items()}

# Longest first. Distilled files nest the base in the control network; a training
# checkpoint holds both side by side.
_PREFIXES = {
    "net.base_model.net.": "base",
    "net.base_model.": "base",
    "base_model.net.": "base",
    "base_model.": "base",
    "net.net_ctrl.": "net",
    "net.": "net",
}
_NUMBERED = re.compile(r"^((?:zero_)?blocks\.block|input_hint_block\.)(\d+)(?=\.)")
_OUR_NUMBERED = re.compile(r"^((?:blocks|hint_mlp|zero)\.)(\d+)(?=\.)")
# Buffers that can be computed, and the loss weighting of training.
_IGNORED = re.compile(r"(^|\.)_extra_state$|^logvar\.|^pos_embedder\.seq$")
_MULTI_VIEW = ("view_embeddings.", "repeat_frame_embedding.")


@attrs.frozen(kw_only=True)
class Part:
    """One network found in an official file: our names to the keys of the file."""

    kind: Kind
    keys: Mapping[str, str]


def our_name(key: str) -> str | None:
    """Return our name of an official key without prefix, None if there is none."""
    template, number = _numberless(key, _NUMBERED)
    ours = RULES.get(template)
    return None if ours is None else ours.replace("*", number)


def official_name(name: str) -> str:
    """Return the official key, without prefix, of one of our names."""
    template, number = _numberless(name, _OUR_NUMBERED)
    return _REVERSED[template].replace("*", number)


def is_ignored(key: str) -> bool:
    """Tell whether an official key, with or without prefix, carries no weight."""
    return _IGNORED.search(_split(key)[1]) is not None


def unwrap(checkpoint: object) -> dict[str, object]:
    """Return the flat state dict of an official file: bare, or in "ema" or "model".

    The averaged weights win, as in the official loader; their keys are spelled
    with "-" for ".". Raise WeightsError for anything else than a dict.
    """
    if not isinstance(checkpoint, Mapping):
        raise WeightsError(
            f"it holds a {type(checkpoint).__name__}; expected a dict of tensors"
        )
    averaged, regular = checkpoint.get("ema"), checkpoint.get("model")
    if isinstance(averaged, Mapping) and averaged:
        return {str(k).replace("-", "."): v for k, v in averaged.items()}
    if isinstance(regular, Mapping):
        checkpoint = regular
    return {str(k): v for k, v in checkpoint.items()}


def parts(keys: Iterable[str]) -> tuple[Part, ...]:
    """Sort the keys of one file into its networks, the DiT before the branch.

    Raise WeightsError for a key that is neither known nor ignored, for two keys
    of one tensor, and for a file without any.
    """
    found: dict[str, dict[str, str]] = {"base": {}, "net": {}}
    problems = []
    for key in keys:
        if is_ignored(key):
            continue
        group, bare = _split(key)
        name = our_name(bare)
        if name is None:
            problems.append(_unknown(key, bare))
        elif name in found[group]:
            problems.append(f"{key!r} and {found[group][name]!r} are the same tensor")
        else:
            found[group][name] = key
    if problems:
        raise WeightsError(shorten(problems))
    networks = [
        Part(kind=kind_of(names), keys=names) for names in found.values() if names
    ]
    if not networks:
        raise WeightsError("no key of a Cosmos-Transfer1 network in it")
    if len({part.kind for part in networks}) < len(networks):
        kind = networks[0].kind
        raise WeightsError(f"it holds two networks of one kind ({kind}); expected one")
    return tuple(sorted(networks, key=lambda part: part.kind == "branch"))


def _split(key: str) -> tuple[str, str]:
    for prefix, group in _PREFIXES.items():
        if key.startswith(prefix):
            return group, key.removeprefix(prefix)
    return "net", key


def _numberless(key: str, pattern: re.Pattern[str]) -> tuple[str, str]:
    match = pattern.match(key)
    if match is None:
        return key, ""
    return f"{match[1]}*{key[match.end() :]}", match[2]


def _unknown(key: str, bare: str) -> str:
    if bare.startswith(_MULTI_VIEW):
        return f"{key!r} belongs to a multi-view model, which worldweave does not run"
    template, number = _numberless(bare, _NUMBERED)
    close = difflib.get_close_matches(template, RULES, n=1)
    hint = f"; closest is {close[0].replace('*', number or '0')!r}" if close else ""
    return f"unknown key {key!r}{hint}"
