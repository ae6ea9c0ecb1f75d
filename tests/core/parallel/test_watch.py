"""Whoever fails or falls silent ends all others, and is told once."""

import json
import socket
import threading
import time
from datetime import timedelta

import pytest
from torch.distributed import PrefixStore, TCPStore

from worldweave.parallel import watch as watching
from worldweave.parallel.member import Member
from worldweave.parallel.watch import BEATS, Watch

# Leaving is the end of a thread here.
pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnhandledThreadExceptionWarning"
)
#: Between two beats: where death is expected, and where life is, on loaded cores.
SECONDS, UNHURRIED = 0.02, 0.1


def member(rank, world=3):
    return Member(
        rank=rank,
        world=world,
        local_rank=rank,
        local_world=world,
        node=0,
        host=f"host{rank}",
    )


class Watched:
    """Processes of one job, as far as their watches know."""

    def __init__(self):
        self.server = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        self.left = {}
        self.watches = []

    def client(self, port=None):
        return PrefixStore(
            "job",
            TCPStore(
                "127.0.0.1",
                port or self.server.port,
                is_master=False,
                wait_for_workers=False,
                timeout=timedelta(seconds=60),
            ),
        )

    def watch(self, rank, world=3, port=None, seconds=SECONDS):
        def leave(code):
            self.left[rank] = code
            raise SystemExit(code)

        made = Watch(
            self.client(port), member(rank, world), leave=leave, seconds=seconds
        )
        self.watches.append(made)
        made.start()
        return made

    def all_beat(self, world=3):
        """Return once each has given a sign of life."""
        store = self.client()
        # Who looks for a beat makes its key: only the number tells.
        while not all(store.add(f"beat/{rank}", 0) for rank in range(world)):
            time.sleep(SECONDS)

    def fails(self, watch, *arguments, **options):
        def fail():
            with pytest.raises(SystemExit):
                watch.fail(*arguments, **options)

        thread = threading.Thread(target=fail, daemon=True)
        thread.start()
        return thread

    def all_left(self, ranks, seconds=10.0):
        end = time.monotonic() + seconds
        while set(self.left) != set(ranks) and time.monotonic() < end:
            time.sleep(SECONDS)
        return dict(self.left)


@pytest.fixture
def job(monkeypatch):
    monkeypatch.delenv("TORCHELASTIC_ERROR_FILE", raising=False)
    made = Watched()
    yield made
    for each in made.watches:
        each._stopped.set()


class Relay:
    """A network to the store that can be cut, or fall silent."""

    def __init__(self, port):
        self.to, self.is_mute, self.ends = port, threading.Event(), []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                here, _ = self.listener.accept()
            except OSError:
                return
            there = socket.create_connection(("127.0.0.1", self.to))
            self.ends += [here, there]
            for pair in ((here, there), (there, here)):
                threading.Thread(target=self._pass, args=pair, daemon=True).start()

    def _pass(self, source, target):
        try:
            while data := source.recv(1 << 16):
                if not self.is_mute.is_set():
                    target.sendall(data)
        except OSError:
            pass

    def cut(self):
        self.listener.close()
        for each in self.ends:
            each.shutdown(socket.SHUT_RDWR)
            each.close()


def test_nobody_leaves_while_all_give_signs_of_life(job, capfd):
    for rank in range(3):
        job.watch(rank, seconds=UNHURRIED)
    job.all_beat()
    time.sleep(1.5 * BEATS * UNHURRIED)
    assert job.left == {}
    assert capfd.readouterr().err == ""


def test_all_leave_with_the_code_of_who_fails_which_the_first_tells_once(job, capfd):
    watches = [job.watch(rank) for rank in range(3)]
    job.fails(watches[2], 3, "worldweave: memory ran out")
    assert job.all_left(range(3)) == {0: 3, 1: 3, 2: 3}
    assert capfd.readouterr().err == "worldweave: memory ran out\n"


def test_what_the_first_has_to_say_it_tells_itself(job, capfd):
    watches = [job.watch(rank) for rank in range(3)]
    job.fails(watches[0], 2, "worldweave: no video")
    assert job.all_left(range(3)) == {0: 2, 1: 2, 2: 2}
    assert capfd.readouterr().err == "worldweave: no video\n"


def test_the_first_to_fail_is_told_and_not_what_follows_from_it(job, capfd):
    watches = [job.watch(rank, seconds=UNHURRIED) for rank in range(3)]
    job.fails(watches[1], 1, "connection lost", patience=5.0, is_of_another=True)
    time.sleep(0.2)
    job.fails(watches[2], 3, "the cause")
    assert job.all_left(range(3)) == {0: 3, 1: 3, 2: 3}
    assert capfd.readouterr().err == "the cause\n"


def test_a_process_that_falls_silent_is_named_with_its_host(job, capfd):
    watches = [job.watch(rank, seconds=UNHURRIED) for rank in range(3)]
    job.all_beat()
    watches[1].stop()
    begun = time.monotonic()
    assert job.all_left([0, 2]) == {0: 1, 2: 1}
    assert time.monotonic() - begun > (BEATS - 2) * UNHURRIED
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(
        "worldweave: rank 1 of 3 (host host1) has given no sign of life for 1.2 s"
    )


def test_where_the_first_falls_silent_another_tells_it(job, capfd, monkeypatch):
    monkeypatch.setattr(watching, "TO_TELL", 0.2)
    watches = [job.watch(rank, seconds=UNHURRIED) for rank in range(3)]
    job.all_beat()
    watches[0].stop()
    assert job.all_left([1, 2]) == {1: 1, 2: 1}
    (line,) = capfd.readouterr().err.splitlines()
    assert "rank 0 of 3 (host host0) has given no sign of life" in line


def test_one_that_never_starts_has_more_time_and_is_told_so(job, capfd, monkeypatch):
    monkeypatch.setattr(watching, "FIRST_BEATS", 2 * BEATS)
    begun = time.monotonic()
    job.watch(0, world=2)
    assert job.all_left([0]) == {0: 1}
    assert time.monotonic() - begun > 2 * BEATS * SECONDS
    (line,) = capfd.readouterr().err.splitlines()
    assert "rank 1 of 2 (host unknown) has not started in 0.48 s" in line


def test_those_that_are_left_over_may_leave(job):
    watches = [job.watch(rank, seconds=UNHURRIED) for rank in range(3)]
    job.all_beat()
    for each in watches:
        each.narrow(2)
    watches[2].stop()
    time.sleep(1.5 * BEATS * UNHURRIED)
    assert job.left == {}


@pytest.mark.parametrize("fault", ["cut", "mute"])
def test_a_store_that_is_gone_or_silent_ends_the_process(job, capfd, fault):
    relay = Relay(job.server.port)
    job.watch(0, world=1, port=relay.port)
    job.all_beat(world=1)
    relay.cut() if fault == "cut" else relay.is_mute.set()
    assert job.all_left([0]) == {0: 1}
    assert "rank 0 of 1 (host host0): the job is gone" in capfd.readouterr().err
    if fault == "mute":
        relay.cut()


def test_what_follows_from_a_store_that_is_gone_is_not_told(job, capfd):
    relay = Relay(job.server.port)
    watch = job.watch(0, world=1, port=relay.port)
    relay.cut()
    job.fails(watch, 1, "connection lost", is_of_another=True)
    assert job.all_left([0]) == {0: 1}
    assert "connection lost" not in capfd.readouterr().err


def test_torchrun_finds_the_words_in_its_file(job, tmp_path, monkeypatch):
    file = tmp_path / "error.json"
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(file))
    job.fails(job.watch(0, world=1), 1, "worldweave: broken")
    job.all_left([0])
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

    told = ProcessFailure(local_rank=0, pid=1, exitcode=1, error_file=str(file))
    assert told.message["message"] == "worldweave: broken"
    assert json.loads(file.read_text())["message"]["extraInfo"]["timestamp"]
