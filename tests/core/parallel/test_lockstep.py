"""Tasks run side by side and meet at their attentions."""

import gc
import weakref

import pytest
import torch

from worldweave.parallel.lockstep import Lockstep


class Log:
    """An attention that adds 100, and what it was asked at once."""

    def __init__(self):
        self.asked = []

    def __call__(self, packed):
        self.asked.append([int(each) for each in packed])
        return [each + 100 for each in packed]


@pytest.fixture
def log():
    return Log()


@pytest.fixture
def lockstep(log):
    return Lockstep(log)


def task(lockstep, *values):
    def run():
        return [int(lockstep.attention(torch.tensor(each))) for each in values]

    return run


def test_tasks_attend_together_depth_by_depth(log, lockstep):
    made = lockstep.run([task(lockstep, 1, 2), task(lockstep, 10, 20, 30)])
    assert made == [[101, 102], [110, 120, 130]]
    assert log.asked == [[1, 10], [2, 20], [30]]


def test_a_task_that_never_attends_keeps_no_one(log, lockstep):
    assert lockstep.run([lambda: "done", task(lockstep, 1)]) == ["done", [101]]
    assert log.asked == [[1]]


def test_a_task_waits_for_what_another_makes(log, lockstep):
    made = []

    def maker():
        lockstep.attention(torch.tensor(1))
        made.append("first")
        lockstep.attention(torch.tensor(2))
        made.append("second")

    def taker():
        lockstep.attention(torch.tensor(10))
        lockstep.wait_until(lambda: len(made) > 1, "the second")
        return list(made)

    assert lockstep.run([maker, taker])[1] == ["first", "second"]
    assert log.asked == [[1, 10], [2]]


def test_what_never_comes_is_told_instead_of_waited_for(lockstep):
    def taker():
        lockstep.wait_until(lambda: False, "residual 3 of 'edge'")

    with pytest.raises(RuntimeError, match="residual 3 of 'edge' was promised, but"):
        lockstep.run([task(lockstep, 1), taker])


def test_what_one_raises_ends_all_and_keeps_nothing(lockstep):
    class Held:
        pass

    held = Held()
    left = weakref.ref(held)

    def waiter(held=held):
        lockstep.attention(torch.tensor(1))
        return held

    def failing():
        raise KeyError("broken")

    with pytest.raises(KeyError, match="broken"):
        lockstep.run([waiter, failing])
    del held, waiter
    gc.collect()
    assert left() is None


def test_it_can_be_used_again_after_a_failure(log, lockstep):
    def failing():
        lockstep.attention(torch.tensor(7))
        raise KeyError("broken")

    with pytest.raises(KeyError):
        lockstep.run([task(lockstep, 1), failing])
    log.asked.clear()
    assert lockstep.run([task(lockstep, 1), task(lockstep, 2)]) == [[101], [102]]
    assert log.asked == [[1, 2]]


def test_outside_of_a_run_a_task_attends_by_itself(log, lockstep):
    assert task(lockstep, 5, 6)() == [105, 106]
    assert log.asked == [[5], [6]]


def test_it_knows_when_only_one_is_left(lockstep):
    seen = []

    def longer():
        for value in (1, 2):
            lockstep.attention(torch.tensor(value))
            seen.append(lockstep.is_alone)

    lockstep.run([task(lockstep, 10), longer])
    assert seen == [True, True]
    seen.clear()
    lockstep.run([task(lockstep, 10, 20, 30), longer])
    assert seen == [False, False]


def test_modes_of_torch_hold_in_every_task(lockstep):
    def mode():
        lockstep.attention(torch.tensor(1))
        return torch.is_inference_mode_enabled()

    with torch.inference_mode():
        assert lockstep.run([mode, mode]) == [True, True]
