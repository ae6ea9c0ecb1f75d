"""Hide installed plugins, so that a test sees only those it is about."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

_VARIABLE = "WORLDWEAVE_PLUGINS"


@contextlib.contextmanager
def only_plugins(*names: str) -> Iterator[None]:
    """Let `discover` find these plugins alone, here and in child processes.

    A name is that of a plugin, of a distribution, or plugin@distribution; the
    first-party plugins, the tiny world among them, are the distribution "worldweave".
    Without a name all are hidden. Afterwards everything is as it was.
    """
    before = os.environ.get(_VARIABLE)
    os.environ[_VARIABLE] = ",".join(names)
    try:
        yield
    finally:
        if before is None:
            del os.environ[_VARIABLE]
        else:
            os.environ[_VARIABLE] = before
