"""What WORLDWEAVE_TRACE=1 prints to standard error, for whoever writes a plugin."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

VARIABLE = "WORLDWEAVE_TRACE"
#: How to see more, as the end of a line about what failed.
ADVICE = f"{VARIABLE}=1 prints the traceback"


def is_traced(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the user wants to see what plugins are asked, and how they fail."""
    return environ.get(VARIABLE, "") not in ("", "0")


def show(heading: str, error: BaseException) -> None:
    """Print *heading* and the traceback of *error*."""
    import traceback  # seldom needed

    print(f"worldweave: {heading}", file=sys.stderr)
    try:
        traceback.print_exception(type(error), error, error.__traceback__)
    except Exception:  # somebody else's error, which cannot even be told
        print(type(error).__name__, file=sys.stderr)
