"""What the report of a generation shows, gathered from it."""

from __future__ import annotations

from worldweave.generate.generation import Generation
from worldweave.report import RunReport
from worldweave.request.maps.schedule import told
from worldweave.request.plan import Plan
from worldweave.request.structure import to_plain


def report_of(made: Generation, title: str) -> RunReport:
    """Return the report of *made*; *title* is the name of its video."""
    plan = made.plan
    height, width = made.frames.shape[1:3]
    return RunReport(
        title=title,
        prompt=made.request.prompt,
        negative_prompt=made.request.negative_prompt,
        base=plan.base.name,
        frames=made.frames,
        source=plan.source,
        controls=plan.controls,
        effective=made.effective,
        regions=plan.regions,
        fps=plan.fps,
        chunk_starts=made.chunk_starts,
        request=to_plain(made.request),
        facts=(
            ("video", f"{len(made.frames)} frames, {width} x {height}"),
            ("frame rate", f"{float(plan.fps):g} a second"),
            ("seed", str(made.request.seed)),
            ("steps", str(made.steps)),
            ("guidance", f"{made.guidance:g}"),
            ("computed on", f"{made.device}, {made.dtype}"),
            ("took", f"{made.seconds:.1f} s"),
        ),
        licences=_licences(plan),
        left_out=plan.left_out,
        schedules={name: told(schedule) for name, schedule in plan.schedules.items()},
    )


def _licences(plan: Plan) -> tuple[tuple[str, str, str], ...]:
    """Return (what, licence, where from) of the plugins and weights that took part."""
    base = plan.base
    found = [(f"base {base.name}", base.license, "plugin")]
    found += [(f"base {base.name}, {w.part}", w.license, w.uri) for w in base.weights]
    for name, each in plan.prepared.items():
        found.append((f"modality {name}", each.modality.license, "plugin"))
        own = each.control.weights
        if own is not None:
            found.append((f"branch {name}", "not known: a file of yours", own))
            continue
        found += [
            (f"branch {name}", w.license, w.uri)
            for w in each.modality.weights
            if w.base == base.name and w.part == "branch"
        ]
    return tuple(found)
