"""Print which registers, memory and instructions the kernels take, without a GPU."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from worldweave_kernels.aot.gpus import GPUS
from worldweave_kernels.aot.machine_code import Kernel, read
from worldweave_kernels.aot.table import DOCUMENT, section


def main() -> int:
    """Compile the kernels, print the table, and return 1 where one is not well."""
    options = _options()
    if find_spec("triton") is None:
        sys.exit("triton is not installed, and it compiles: pip install triton")
    if os.environ.get("TRITON_INTERPRET") == "1":
        return _again_without_interpreter()
    found, complaints = _compiled(options.arch, options.only)
    _print(found, with_title=not options.section)
    if options.json:
        listed = [{**each._asdict(), "problems": each.problems} for each in found]
        Path(options.json).write_text(json.dumps(listed, indent=1) + "\n")
    print(*complaints, sep="\n", end="\n" if complaints else "", file=sys.stderr)
    return 1 if complaints else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m worldweave_kernels.aot", description="Compile without a GPU."
    )
    parser.add_argument(
        "--arch",
        default=[80, 90, 100],
        type=_archs,
        help="architectures, 90 for sm_90; by default 80,90,100",
    )
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--json", metavar="FILE", help="write everything there, too")
    parser.add_argument(
        "--section", action="store_true", help="the table without the page around it"
    )
    return parser.parse_args()


def _archs(text: str) -> list[int]:
    known = {str(arch): arch for arch in GPUS}
    if unknown := set(text.split(",")) - set(known):
        raise argparse.ArgumentTypeError(
            f"{', '.join(sorted(unknown))} is unknown; there are {', '.join(known)}"
        )
    return [known[each] for each in text.split(",")]


def _again_without_interpreter() -> int:
    print("TRITON_INTERPRET is set: compiling in a process without it", file=sys.stderr)
    environment = {
        name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"
    }
    command = [sys.executable, "-m", "worldweave_kernels.aot", *sys.argv[1:]]
    return subprocess.run(command, env=environment).returncode


def _compiled(archs: list[int], only: str) -> tuple[list[Kernel], list[str]]:
    """Return the kernels of all cases, each once, and what is wrong with them."""
    # Not before it is known that triton compiles here.
    from worldweave_kernels.aot.cases import cases
    from worldweave_kernels.aot.stand_in import Launch, launches

    wanted = {name: call for name, call in cases().items() if only in name}
    if not wanted:
        sys.exit(f"no case is called {only!r}; there are {'; '.join(cases())}")
    complaints: list[str] = []
    found: dict[str, tuple[str, Launch]] = {}
    for (name, call), arch in itertools.product(wanted.items(), archs):
        try:
            launched = launches(call, arch)
        except Exception as error:  # Triton raises what it likes.
            reason = (str(error).splitlines() or [""])[0][:200]
            reason = f"{type(error).__name__}, {reason}"
            complaints.append(f"{name}, sm_{arch}: does not compile: {reason}")
            continue
        if not launched:
            complaints.append(f"{name}, sm_{arch}: launches no kernel of Triton's")
        for launch in launched:
            # A backward pass launches what the forward pass does, too.
            found.setdefault(launch.compiled.hash, (name, launch))
    # Kernels that differ in a constant may be the same otherwise.
    kernels = list(dict.fromkeys(read(list(found.values()))))
    complaints += [
        f"{kernel.case}, {kernel.name}, sm_{kernel.arch}: {problem}"
        for kernel in kernels
        for problem in kernel.problems
    ]
    return kernels, complaints


def _print(found: list[Kernel], with_title: bool) -> None:
    import triton

    if with_title:
        print(DOCUMENT, end="")
    print()
    print(section(found, triton.__version__), end="")


if __name__ == "__main__":
    sys.exit(main())
