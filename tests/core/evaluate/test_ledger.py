"""Scores on disk: kept, continued, refused where they are of something else."""

from pathlib import Path

import pytest

from worldweave.evaluate.ledger import Ledger
from worldweave_registry import WorldweaveError

SUBJECT = {"base": "toy", "steps": 4}


def test_what_was_measured_is_known_next_time(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    first = Ledger(path, SUBJECT)
    first.add("one", {"scores": [0.5, None]})
    again = Ledger(path, SUBJECT)
    assert "one" in again
    assert again["one"] == {"scores": [0.5, None]}
    assert "two" not in again


def test_a_line_cut_by_a_crash_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    ledger = Ledger(path, SUBJECT)
    ledger.add("one", 1)
    ledger.add("two", 2)
    path.write_bytes(path.read_bytes()[:-6])
    again = Ledger(path, SUBJECT)
    assert "one" in again
    assert "two" not in again
    again.add("three", 3)
    assert Ledger(path, SUBJECT)["three"] == 3


def test_scores_of_another_evaluation_are_not_mixed_in(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    Ledger(path, SUBJECT).add("one", 1)
    before = path.read_bytes()
    with pytest.raises(WorldweaveError, match=r"differs in steps\); delete it or"):
        Ledger(path, SUBJECT | {"steps": 8})
    assert path.read_bytes() == before


def test_a_file_that_holds_no_scores_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("[1, 2]\n")
    with pytest.raises(WorldweaveError, match="another evaluation"):
        Ledger(path, SUBJECT)
    path.write_text("my notes\n")
    with pytest.raises(WorldweaveError, match="another evaluation"):
        Ledger(path, SUBJECT)
    assert path.read_text() == "my notes\n"


def test_without_a_file_scores_are_kept_in_memory() -> None:
    ledger = Ledger(None, SUBJECT)
    ledger.add("one", 1)
    assert ledger["one"] == 1
