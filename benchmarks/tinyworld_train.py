"""Retrain everything that tiny-world ships, measure it, and put it into the plugins.

    python benchmarks/tinyworld_train.py --scale cpu          # hours on two cores
    python benchmarks/tinyworld_train.py --scale gpu          # half an hour of an H200

It runs the public commands, `worldweave train base`, then decoder, annotator and the
six branches, each in pieces of at most --minutes with saved states of at most 16 MB a
file, and goes on where it was stopped. Results go into the plugins' weights folders
with their checksums, so run it from a checkout with an editable install. It ends with
`worldweave evaluate tiny-world` over 64 held-out clips.

What a run at --scale gpu should bring (written before there was one): a base x0 error
below 0.12 of the variance at sigma 0.8 (two CPU hours reach about 0.15), every branch
closing at least 60 % of its gap, a wrong hint clearly below no control, time of day
obeyed in 9 of 10 clips and object colours in 7 of 10.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import attrs

PLUGINS = Path(__file__).resolve().parents[1] / "plugins" / "worldweave_plugins"
BRANCHES = ("vis", "edge", "depth", "seg", "hdmap", "lidar")
PARTS = {
    "base": ("dit", "text_encoder"),
    "decoder": ("autoencoder",),
    "annotator": ("annotator",),
    **dict.fromkeys(BRANCHES, ("tiny-world",)),
}
"""What each training ships, by the name of the file in its plugin."""
ON_THE_BASE = ("decoder", *BRANCHES)
"""What is trained on the base, and worth nothing on another."""
NO_DIGEST = 64 * "0"
STANDSTILL = 2
"""Pieces in a row that may advance by one step at most."""


@attrs.frozen
class Size:
    """Steps, clips per step and training clips of one training."""

    steps: int
    batch: int
    clips: int


SCALES = {
    # Hours on two cores. Every piece renders its clips anew: 3000 take a minute or two
    # of its nine.
    "cpu": {
        "base": Size(7000, 12, 3000),
        "decoder": Size(2500, 4, 600),
        "annotator": Size(2000, 8, 1500),
        "branch": Size(900, 12, 2000),
    },
    "gpu": {
        "base": Size(16000, 128, 30000),
        "decoder": Size(6000, 32, 4000),
        "annotator": Size(4000, 32, 4000),
        "branch": Size(3000, 96, 20000),
    },
    # Minutes on two cores: to see that everything still runs. Ships nothing.
    "smoke": {
        "base": Size(4, 4, 16),
        "decoder": Size(4, 2, 16),
        "annotator": Size(4, 2, 16),
        "branch": Size(4, 4, 16),
    },
}


def main() -> None:
    """Train what is named, in the order in which one needs the other."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    order = list(PARTS)
    parser.add_argument("names", nargs="*", default=order, help="default: all")
    parser.add_argument("--scale", choices=SCALES, default="cpu")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--minutes", type=float, default=9.0, help="of a piece")
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--dry", action="store_true", help="leave the plugins as they are"
    )
    options = parser.parse_args()
    # A few steps must never replace what is shipped.
    options.dry |= options.scale == "smoke"
    names = [known for known in order if known in options.names]
    if not options.dry:
        refuse_without_checksum(names)
    for name in names:
        if name in ON_THE_BASE and not options.dry:
            drop_outdated(options.runs, name)
        size = SCALES[options.scale]["branch" if name in BRANCHES else name]
        start = time.monotonic()
        results = train(name, size, options)
        print(f"{name}: {time.monotonic() - start:.0f} s", flush=True)
        if not options.dry:
            for path in results:
                ship(name, path)
    if set(options.names) == set(order) and not options.dry:
        run("evaluate", "tiny-world", "--out", str(options.runs / "evaluation.json"))


def train(name: str, size: Size, options: argparse.Namespace) -> list[Path]:
    """Run pieces of one training until it is done; return the files of its result."""
    folder = options.runs / name
    steps = [last_step(folder)]
    while not (done := sorted(folder.glob("*.safetensors"))):
        run(
            *("train", name, "--out", str(folder), "--device", options.device),
            *("--steps", str(size.steps), "--batch-size", str(size.batch)),
            *("--clips", str(size.clips), "--minutes", str(options.minutes)),
            "--compile",
        )
        steps.append(last_step(folder))
        if not any(folder.glob("*.safetensors")):
            refuse_standstill(name, steps, options.minutes)
    return done


def last_step(folder: Path) -> int:
    """Return the step of the newest saved state of a training; 0 without one."""
    names = [path.name for path in folder.glob("states/*")]
    return max((int(name) for name in names if name.isdecimal()), default=0)


def refuse_standstill(name: str, steps: list[int], minutes: float) -> None:
    """End the program where the last pieces, ending at *steps*, got nowhere."""
    last = steps[-STANDSTILL - 1 :]
    if len(last) <= STANDSTILL or any(b - a > 1 for a, b in pairwise(last)):
        return
    sys.exit(
        f"{name} stands still: {STANDSTILL} pieces of {minutes:g} minutes went from "
        f"step {last[0]} to {last[-1]}, all else is rendering clips; give more "
        "--minutes, or fewer clips in SCALES"
    )


def drop_outdated(runs: Path, name: str) -> None:
    """Remove what was trained on the base before the one in *runs*, and say so."""
    base, folder = runs / "base" / "dit.safetensors", runs / name
    made = [*folder.glob("*.safetensors"), *folder.glob("states/*/index.json")]
    if not made or not base.exists():
        return
    if max(path.stat().st_mtime for path in made) < base.stat().st_mtime:
        shutil.rmtree(folder)
        print(f"{folder}: removed, it is older than {base}", flush=True)


def run(*arguments: str) -> None:
    """Run one worldweave command in a process of its own."""
    print("worldweave", *arguments, flush=True)
    subprocess.run([sys.executable, "-m", "worldweave", *arguments], check=True)


def ship(name: str, path: Path) -> None:
    """Copy a result into its plugin and write its checksum into the description."""
    part = "tiny-world" if name in BRANCHES else path.stem
    description = description_of(name)
    target = description.parent / "weights" / f"{part}.safetensors"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    text, count = with_checksum(description.read_text(), name, part, digest)
    if count != 1:
        sys.exit(f"{description} names no checksum of {part}; write {digest} into it")
    target.parent.mkdir(exist_ok=True)
    shutil.copyfile(path, target)
    description.write_text(text)
    print(f"{target}: {digest}")


def refuse_without_checksum(names: list[str]) -> None:
    """End the program where a description has no place for a result's checksum."""
    problems = [
        f"{description_of(name)} names no checksum of {part}; give its Weights "
        f'sha256="{NO_DIGEST}" there'
        for name in names
        for part in PARTS[name]
        if with_checksum(description_of(name).read_text(), name, part, NO_DIGEST)[1]
        != 1
    ]
    if problems:
        sys.exit("\n".join(problems))


def description_of(name: str) -> Path:
    """Return the file in which the plugin of a training describes its weights."""
    return PLUGINS / (name if name in BRANCHES else "tinyworld") / "__init__.py"


def with_checksum(text: str, name: str, part: str, digest: str) -> tuple[str, int]:
    """Return a description with another checksum of *part*, and how many it had."""
    pattern = rf'("{part}": ")[0-9a-f]{{64}}'
    if name in BRANCHES:
        pattern = (
            r'(tiny-world\.safetensors",\s+license="[^"]+",\s+sha256=")[0-9a-f]{64}'
        )
    return re.subn(pattern, rf"\g<1>{digest}", text)


if __name__ == "__main__":
    main()
