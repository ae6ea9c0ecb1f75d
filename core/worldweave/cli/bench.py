"""worldweave bench: how fast a base and its operations are, here or on paper."""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worldweave.cli import flags
from worldweave.cli.arguments import found
from worldweave_registry import WorldweaveError

if TYPE_CHECKING:
    from worldweave.forecast.measure import Measured

app = typer.Typer()


@app.callback(invoke_without_command=True)
def bench(
    context: typer.Context,
    base: Annotated[str, typer.Option(help="The base to run.")] = "tiny-world",
    save: Annotated[
        bool,
        typer.Option("--save", help="Keep the rates: worldweave plan tells times."),
    ] = False,
    device: Annotated[
        str | None, typer.Option(help="cpu or cuda [default: cuda if there is one].")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads [default: all cores].")
    ] = None,
    licenses: flags.Licenses = None,
    repeats: Annotated[
        int, typer.Option(min=1, help="Runs of each part; the median counts.")
    ] = 5,
    out: Annotated[
        Path | None, typer.Option(help="File to write the result to, as JSON.")
    ] = None,
) -> None:
    """Measure how fast this machine denoises, encodes and decodes."""
    if context.invoked_subcommand is not None:
        _refuse_flags(context)
        return
    # torch takes seconds to import; asking for help should not.
    import torch

    from worldweave.forecast.measure import measure
    from worldweave.forecast.rates import save_rate
    from worldweave.loading import usable_device

    if threads is not None:
        torch.set_num_threads(threads)
    catalog = found(licenses)
    description = catalog.find_base(base)
    place = usable_device(device)
    dtype = torch.bfloat16 if place.type == "cuda" else torch.float32
    measured = measure(description, place, dtype, repeats=repeats, hook=catalog.hook)
    _print(measured)
    if out is not None:
        _write(out, measured)
        print(f"written to {out}")
    if save:
        print(f"saved to {save_rate(measured.rate)}; worldweave plan now tells times")


@app.command(
    add_help_option=False,
    context_settings={"ignore_unknown_options": True},
)
def kernels(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ARGUMENTS",
            help="Those of python -m worldweave_kernels.bench; --help tells them.",
        ),
    ] = None,
) -> None:
    """Measure the operations a base is made of, against what else computes them.

    Times, the share of what this machine can reach, and the error, for each operation;
    with --ranks, how a block divides over several GPUs. Exit code 1: something was
    computed wrong, or not at all.
    """
    from worldweave_kernels.bench.__main__ import main

    _run(main, arguments, "kernels")


@app.command(
    add_help_option=False,
    context_settings={"ignore_unknown_options": True},
)
def scaling(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ARGUMENTS",
            help="Those of python -m worldweave_kernels.bench.scaling; --help tells "
            "them.",
        ),
    ] = None,
) -> None:
    """Tell how a request would scale to 128 GPUs, on paper, beside the paper's own.

    A model of H200 nodes and GB200 racks: nothing is measured, but --measured takes
    what `worldweave bench kernels --json` found on one GPU. Every figure says whether
    it is measured, published, assumed or fitted.
    """
    from worldweave_kernels.bench.scaling import main

    _run(main, arguments, "scaling")


def _run(main: Callable[..., int], arguments: list[str] | None, name: str) -> None:
    """Run a benchmark that reads its own arguments; its mistakes are told as ours."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            code = main(arguments or [], prog=f"worldweave bench {name}")
    except SystemExit as ended:
        if ended.code:
            told = _complaint(said.getvalue())
            told = told or f"the benchmark ended with exit code {ended.code}"
            raise WorldweaveError(told) from None
        return
    print(said.getvalue(), end="", file=sys.stderr)
    if code:
        raise typer.Exit(code)


def _complaint(said: str) -> str:
    """Return what the benchmark complained of, without its usage and its own name."""
    usage = r"^usage: .*?^[^\n]*?: error: "
    name = r"^worldweave_kernels\.bench: "
    return re.sub(f"{usage}|{name}", "", said, count=1, flags=re.M | re.S).strip()


def _refuse_flags(context: typer.Context) -> None:
    """Refuse flags of `bench` before a subcommand: they would do nothing."""
    given = [
        name
        for name in context.params
        if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"
    ]
    if given:
        flag = f"--{given[0].replace('_', '-')}"
        raise WorldweaveError(
            f"{flag} belongs to worldweave bench alone; give "
            f"{context.invoked_subcommand} its own flags, after its name"
        )


def _print(measured: Measured) -> None:
    """Print a row for each part, and what it was measured on."""
    rate = measured.rate
    print(f"{'part':<12}{'GFLOP':>12}{'seconds':>12}{'GFLOP/s':>12}")
    for row in measured.rows:
        print(
            f"{row.part:<12}{row.flops / 1e9:>12.3f}{row.seconds:>12.4f}"
            f"{row.rate / 1e9:>12.1f}"
        )
    key = rate.key
    print(
        f"{key.base} with {rate.weights} weights in {key.dtype} on {key.machine}, "
        f"{key.threads} threads, torch {rate.torch}"
    )
    if rate.autoencode is None:
        print("its autoencoder was not measured: its weights are missing")


def _write(out: Path, measured: Measured) -> None:
    import json

    import attrs

    from worldweave.io.files import atomic_path

    with atomic_path(out) as temporary:
        text = json.dumps(attrs.asdict(measured), indent=2)
        temporary.write_text(f"{text}\n", "utf-8")
