"""Whoever fails ends the whole job, and its error is told once.

Each process gives signs of life to the store of the job, from a thread of its own. That
thread needs Python's lock for a moment every second: work may hold the lock (a call
into C that does not let go of it) for less than `BEATS` seconds, or the process counts
as dead.

A node that dies while its processes still start, before their first sign of life, is
found only after `FIRST_BEATS` seconds: until then it cannot be told from a slow disk.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NoReturn

import attrs

from worldweave.parallel.member import Member, Store

#: Seconds between two signs of life.
BEAT = 1.0
#: Beats of ours without one of theirs, after which a process counts as dead. Few, so
#: that a job ends within 60 s: one more until we look, 2 x `TO_TELL` to tell, and 30 s
#: that torchrun gives a process to end. Many, because work may hold Python's lock: on
#: two busy cores 0.2 s at most while torch is imported and the tiny world is loaded.
BEATS = 12
#: As many before the first one: importing torch from a busy disk takes time.
FIRST_BEATS = 300
#: Seconds in which the first rank should have told what another one has to say.
TO_TELL = 5.0

FAILED = 1
_END, _TOLD = "end", "told"


@attrs.frozen
class End:
    """Why the job ends: what *rank* has to say, and the exit code of all."""

    rank: int
    code: int
    text: str


class Watch:
    """Watches over the other processes of a job while this one works.

    The first rank watches all the others, and they watch it. store: a client that
    nobody else uses. leave: what ends this
    process at once, whatever its main thread does. seconds: between two beats.
    """

    def __init__(
        self,
        store: Store,
        member: Member,
        *,
        leave: Callable[[int], Any] = os._exit,
        seconds: float = BEAT,
    ) -> None:
        self.member = member
        self._leave, self._seconds = leave, seconds
        self._others = range(1, member.world) if member.is_first else range(1)
        self._seen: dict[int, int] = {}
        self._missed: dict[int, int] = {}
        self._turns = 0
        self._is_told = False
        self._stopped = threading.Event()
        self._leaving = threading.Lock()
        self._store = store
        self._threads = [
            threading.Thread(target=each, name=each.__name__, daemon=True)
            for each in (self._watch, self._watch_the_watch)
        ]

    def start(self) -> None:
        """Begin to give signs of life, and to look for those of others."""
        self._store.set(f"host/{self.member.rank}", self.member.host)
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End without a word: this process is done with the others."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def narrow(self, world: int) -> None:
        """Watch the first *world* processes only: the others leave."""
        if self.member.is_first:
            self._others = range(1, world)

    def fail(
        self,
        code: int,
        text: str,
        *,
        patience: float = 0.0,
        is_of_another: bool = False,
    ) -> NoReturn:
        """End the job with *code*, for all: *text* is this process's last word.

        patience: seconds to wait before, in which another's may turn out to be the
        cause; is_of_another: it surely is. The first that has spoken is told, by the
        first rank, or by whoever spoke where that does not come to it.
        """
        end = End(self.member.rank, code, text)
        try:
            deadline = time.monotonic() + patience
            while time.monotonic() < deadline and not self._store.check([_END]):
                time.sleep(0.05)
            end = self._post(end)
        except Exception:
            if is_of_another:
                self._lose_the_job()
            self._tell(end)
        self._finish(end)

    def _watch(self) -> None:
        while not self._stopped.wait(self._seconds):
            self._turns += 1
            try:
                end = self._beat()
            except Exception:
                if not self._stopped.is_set():
                    self._lose_the_job()
                return
            if end is not None:
                self._finish(end)

    def _watch_the_watch(self) -> None:
        """End where the store does not even refuse to answer: its machine is down."""
        seen = missed = 0
        while not self._stopped.wait(self._seconds):
            missed = missed + 1 if self._turns == seen else 0
            seen = self._turns
            if missed > BEATS and not self._leaving.locked():
                self._lose_the_job()

    def _beat(self) -> End | None:
        """Give a sign of life; return why the job has to end, if so."""
        self._store.add(f"beat/{self.member.rank}", 1)
        if self._store.check([_END]):
            return _end_of(self._store.get(_END))
        lost = [rank for rank in self._others if self._is_lost(rank)]
        return self._post(self._words_on(lost)) if lost else None

    def _is_lost(self, rank: int) -> bool:
        """Count a beat of ours without one of *rank*.

        Beats, not seconds: a machine that slept has not lost anybody.
        """
        beats = self._store.add(f"beat/{rank}", 0)
        is_new = beats != self._seen.get(rank, 0)
        self._missed[rank] = 0 if is_new else self._missed.get(rank, 0) + 1
        self._seen[rank] = beats
        return self._missed[rank] > (BEATS if beats else FIRST_BEATS)

    def _words_on(self, lost: list[int]) -> End:
        return End(self.member.rank, FAILED, "\n".join(map(self._obituary, lost)))

    def _obituary(self, rank: int) -> str:
        key = f"host/{rank}"
        is_known = self._store.check([key])
        host = self._store.get(key).decode() if is_known else "unknown"
        who = f"worldweave: rank {rank} of {self.member.world} (host {host})"
        if not self._seen[rank]:
            seconds = FIRST_BEATS * self._seconds
            return f"{who} has not started in {seconds:g} s; look at its machine"
        return (
            f"{who} has given no sign of life for {BEATS * self._seconds:g} s: it was "
            "killed, or its machine or the network to it is down"
        )

    def _lose_the_job(self) -> NoReturn:
        """Tell once a node, and leave: nobody can be asked who speaks for all."""
        text = (
            f"worldweave: {self.member}: the job is gone: torchrun has ended, or the "
            "machine that holds it together is down"
        )
        if self.member.local_rank == 0:
            self._tell(End(self.member.rank, FAILED, text))
        self._go(FAILED)

    def _post(self, end: End) -> End:
        """Let *end* be the job's, unless it has one; return the one it has."""
        words = json.dumps(attrs.asdict(end))
        return _end_of(self._store.compare_set(_END, "", words))

    def _finish(self, end: End) -> NoReturn:
        """Have *end* told, and leave."""
        # Never let go of: who comes second waits here until the first has left.
        self._leaving.acquire()
        with contextlib.suppress(Exception):
            self._have_it_told(end)
        self._go(end.code)

    def _have_it_told(self, end: End) -> None:
        """Wait until *end* is told: torchrun ends all others once one has left.

        Where the first rank does not come to it, whoever said so does.
        """
        is_ours = end.rank == self.member.rank
        if is_ours:
            _note_for_torchrun(end)
        deadline = time.monotonic() + (TO_TELL if is_ours else 2 * TO_TELL)
        while not self.member.is_first and time.monotonic() < deadline:
            if self._store.check([_TOLD]):
                return
            time.sleep(0.05)
        if self.member.is_first or is_ours:
            self._tell(end)
            self._store.set(_TOLD, "")

    def _tell(self, end: End) -> None:
        if not self._is_told and end.text:
            print(end.text, file=sys.stderr, flush=True)
            _note_for_torchrun(end)
        self._is_told = True

    def _go(self, code: int) -> NoReturn:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        self._leave(code)
        raise SystemExit(code)


def _end_of(words: bytes) -> End:
    return End(**json.loads(words))


def _note_for_torchrun(end: End) -> None:
    """Leave the words where torchrun, or our own launcher, looks for them."""
    file = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if not file:
        return
    extra = {"py_callstack": end.text, "timestamp": str(int(time.time()))}
    record = {"message": {"message": end.text, "extraInfo": extra}}
    with contextlib.suppress(OSError), open(file, "w", encoding="utf-8") as target:
        json.dump(record, target)
