"""When to stop before all steps are done: the clock, Ctrl-C."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = "interrupted"
TIME_IS_UP = "the time is up"


class Stop:
    """Asks a training to save and stop: at a time, or because somebody wants it to.

    *deadline* is a `time.monotonic` in seconds; None: never.
    """

    def __init__(self, deadline: float | None = None) -> None:
        self.deadline = deadline
        self.is_interrupted = False

    def reason(self) -> str:
        """Return why to stop now, or ""."""
        if self.is_interrupted:
            return INTERRUPTED
        if self.deadline is not None and time.monotonic() >= self.deadline:
            return TIME_IS_UP
        return ""

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Take SIGINT (Ctrl-C) and SIGTERM as a wish to stop after the current step.

        A second Ctrl-C stops at once; the last saved state remains.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def ask(number: int, frame: FrameType | None) -> None:
            if self.is_interrupted and number == signal.SIGINT:
                raise KeyboardInterrupt
            self.is_interrupted = True

        before = {
            number: signal.signal(number, ask)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
