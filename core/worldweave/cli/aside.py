"""Keep standard output for what a command says, whatever plugins print."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def standard_output_aside() -> Iterator[None]:
    """Send standard output to standard error, whoever writes to it.

    That holds for `print` as for C code and subprocesses. Where the process has no
    standard output or error, there is nothing to keep apart.
    """
    sys.stdout.flush()
    try:
        kept = os.dup(1)
        os.dup2(2, 1)
    except OSError:
        yield
        return
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
