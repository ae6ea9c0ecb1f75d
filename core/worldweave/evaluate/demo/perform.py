"""Make the demonstration: film every subject, write the sheet and the page."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path

from worldweave.evaluate.demo.film import Filmed, film
from worldweave.evaluate.demo.layout import Cost, page_of, sheet_of
from worldweave.evaluate.demo.page import render
from worldweave.evaluate.demo.prepare import Demo
from worldweave.io import video as video_io
from worldweave.io.files import atomic_path
from worldweave.request.chunks import cut
from worldweave.request.spec import Request

#: Called with (steps done, steps in all, what is being made).
Progress = Callable[[int, int, str], None]


def perform(
    demo: Demo,
    progress: Progress,
    *,
    command: str = "worldweave",
    begun: float | None = None,
) -> tuple[list[Filmed], Cost]:
    """Write everything to demo.out, index.html last; return what was made.

    command: how the page calls worldweave. begun: since when (time.perf_counter)
    the cost counts. Raise WorldweaveError where the folder cannot be written,
    before anything is generated.
    """
    begun = time.perf_counter() if begun is None else begun
    total = sum(
        _steps(demo, len(s.frames)) for s in demo.subjects for _ in demo.takes(s)
    )
    done = 0
    with atomic_path(demo.out / "index.html") as index:
        filmed = []
        for subject in demo.subjects:

            def step(_: object, name: str = subject.name) -> None:
                nonlocal done
                done += 1
                progress(done, total, name)

            filmed.append(film(demo, subject, step))
        video_io.write_png(demo.out / "sheet.png", sheet_of(filmed))
        commands = [(what, f"{command} {line}") for what, line in what_next(demo)]
        cost = measure(begun)
        page = render(page_of(demo, filmed, commands, cost))
        index.write_text(page, "utf-8")
    return filmed, cost


def what_next(demo: Demo) -> list[tuple[str, str]]:
    """Return three commands worth trying, without the program's name, and what for."""
    subject = demo.subjects[0]
    folder = demo.out / subject.name
    name = next(iter(subject.controls)) if demo.leads is None else demo.leads[0]
    prompt = demo.base.metadata.get("example_prompt", subject.prompt)
    start = f"generate --video {shlex.quote(str(subject.video))}"
    if subject.clip is None:
        start += f" --max-frames {len(subject.frames)}"

    def file(folder: Path, name: str) -> str:
        return shlex.quote(str(folder / name))

    def control(name: str) -> str:
        ready = shlex.quote(f"{name}={folder / name}.npy")
        return f"--control-video {ready}"

    commands = [
        (
            "Another prompt under the same control",
            f"{start} --prompt {shlex.quote(prompt)} --control {name}=1 "
            f"{control(name)} --out {file(demo.out, 'other-prompt.mp4')}",
        )
    ]
    if demo.leads is not None:
        inside, outside = demo.leads
        commands.append(
            (
                "Maps of your own: edit the two files, or give a picture or a number",
                f"{start} --prompt {shlex.quote(subject.prompt)} "
                f"--control {shlex.quote(f'{inside}={folder}/foreground.npy')} "
                f"--control {shlex.quote(f'{outside}={folder}/background.npy')} "
                f"{control(inside)} {control(outside)} "
                f"--out {file(demo.out, 'woven.mp4')}",
            )
        )
    else:
        commands.append(
            (
                "The same clip again, byte for byte, from its manifest",
                f"replay {file(folder, f'{name}.manifest.json')} "
                f"--out {file(demo.out, 'again.mp4')}",
            )
        )
    if subject.clip is not None:
        return [*commands, ("All this with a video of your own", "demo my.mp4")]
    return [*commands, ("All this with the base's own clips", "demo")]


def measure(begun: float) -> Cost:
    """Return what the process has cost since *begun* on time.perf_counter."""
    return Cost(
        seconds=time.perf_counter() - begun,
        processor_seconds=time.process_time(),
        peak_bytes=_peak_bytes(),
    )


def _peak_bytes() -> int | None:
    """Return the most memory the process has held, None where nobody counts."""
    if sys.platform == "win32":
        return None
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _steps(demo: Demo, frames: int) -> int:
    chunks = cut(frames, demo.base.chunk_frames, Request().overlap)
    return len(chunks) * (demo.base.steps + 1)
