"""Whether all processes of a job have the same programs, request and weights.

Each tells its facts, what it is about and what it has, and the first compares.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections import defaultdict
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from os import environ
from pathlib import Path
from typing import Any

import attrs
import torch

from worldweave.generate.pipeline import Pipeline
from worldweave.parallel.member import Member
from worldweave.request.plan import Plan
from worldweave.request.spec import Request
from worldweave.request.structure import to_plain
from worldweave.request.walk import placed_plain
from worldweave_registry import Catalog, WorldweaveError

#: What is compared, by what it is about.
Facts = Mapping[str, str]
#: Characters of a value that is told whole, and of the beginning of a longer one.
LONGEST, SHOWN = 300, 60


def versions(request: Request, catalog: Catalog) -> Facts:
    """Return the versions of all that computes *request*."""
    found = {
        "worldweave": version("worldweave"),
        "torch": torch.__version__,
        "Python": ".".join(platform.python_version_tuple()[:2]),
        "triton": _installed("triton"),
        "WORLDWEAVE_KERNELS": environ.get("WORLDWEAVE_KERNELS", "not set"),
    }
    supplied = [(request.base, catalog.plugin_of_base)]
    supplied += [(name, catalog.plugin_of) for name in request.controls]
    for name, plugin_of in supplied:
        try:
            plugin = plugin_of(name)
        except WorldweaveError:
            found[f"plugin of {name}"] = "none"  # making the plan says why
        else:
            found[f"plugin of {name}"] = str(plugin)
    return found


def wishes(request: Request) -> Facts:
    """Return what *request* asks for, field by field.

    Of files the names alone: the first rank reads them, for all, and weights are
    compared by what is in them.
    """
    plain = placed_plain(to_plain(request), lambda name: Path(name).name)
    controls = plain.pop("controls", {})
    facts = {f"the request's {field}": _text(value) for field, value in plain.items()}
    facts |= {f"the request's {n}": _text(value) for n, value in controls.items()}
    return facts


def weights(pipeline: Pipeline, plan: Plan) -> Facts:
    """Return the SHA-256 of all weights in use, each with its file.

    Slow where nobody on this machine has read them yet; see `digests`.
    """
    found = pipeline.hashes(plan)
    files = {digest: path for path, digest in pipeline.digests.items()}
    return {
        f"weights of {name}": f"SHA-256 {digest} ({files[digest]})"
        for name, digest in found.items()
    }


def mismatches(all_facts: list[tuple[Member, Facts]]) -> list[str]:
    """Return what differs from the first one's facts, one line each.

    What one has and the first has not, or the other way round, differs; the first
    alone has weights of the text encoder. Of weights the files' places may differ.
    """
    _, of_first = all_facts[0]
    differing: dict[tuple[str, str], list[Member]] = defaultdict(list)
    for member, facts in all_facts[1:]:
        for what in {**of_first, **facts}:
            has = facts.get(what, "none")
            if what == TEXT_ENCODER and has == "none":
                continue
            if _compared(has) != _compared(of_first.get(what, "none")):
                differing[what, has].append(member)
    return [
        f"{_who(members)} {'have' if len(members) > 1 else 'has'} {what} {_cut(has)} "
        f"but rank 0 has {_cut(of_first.get(what, 'none'))}"
        for (what, has), members in differing.items()
    ]


#: Only the first rank reads it.
TEXT_ENCODER = "weights of base text_encoder"


def told(member: Member, facts: Facts) -> str:
    """Return *facts* of *member* as text that `heard` reads."""
    return json.dumps([attrs.asdict(member), dict(facts)])


def heard(text: str | bytes) -> tuple[Member, Facts]:
    """Return what another process has `told`."""
    member, facts = json.loads(text)
    return Member(**member), facts


def _compared(value: str) -> str:
    return value.partition(" (")[0] if value.startswith("SHA-256 ") else value


def _cut(value: str) -> str:
    """Return *value*, or of a long one its beginning and what tells it apart."""
    if len(value) <= LONGEST:
        return value
    digest = hashlib.sha256(value.encode()).hexdigest()
    return f"{value[:SHOWN]}... ({len(value)} characters, SHA-256 {digest[:12]})"


def _who(members: list[Member]) -> str:
    """Return "rank 3 (host b)", or "ranks 2, 3, 6 (hosts a, b)"."""
    ranks = ", ".join(str(member.rank) for member in members)
    hosts = list(dict.fromkeys(member.host for member in members))
    return (
        f"rank{'s' if len(members) > 1 else ''} {ranks} "
        f"(host{'s' if len(hosts) > 1 else ''} {', '.join(hosts)})"
    )


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
