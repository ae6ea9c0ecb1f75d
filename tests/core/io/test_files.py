"""Files are whole or absent, and what stood in the way is said."""

import hashlib
import os
import stat
from pathlib import Path

import pytest

from worldweave.io.files import atomic_path, free_space_check, readable_size, sha256
from worldweave_registry.errors import WorldweaveError


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_a_finished_file_gets_its_name(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "a.txt") as temporary:
        temporary.write_text("done")
        assert names(tmp_path) == [temporary.name]
    assert names(tmp_path) == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "done"


def test_the_temporary_file_lies_beside_and_keeps_the_suffix(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "a.mp4") as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".mp4"


@pytest.mark.parametrize("failure", [KeyboardInterrupt, SystemExit, ValueError])
def test_an_interrupted_file_leaves_the_old_one(
    tmp_path: Path, failure: type[BaseException]
) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(failure), atomic_path(target) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise failure
    assert names(tmp_path) == ["a.txt"]
    assert target.read_text() == "old"


def test_the_users_umask_decides_the_permissions(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with atomic_path(tmp_path / "a.txt"):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o640


def test_a_symbolic_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "link.txt"
    link.symlink_to(tmp_path / "real" / "a.txt")
    with atomic_path(link) as temporary:
        temporary.write_text("done")
    assert link.is_symlink()
    assert (tmp_path / "real" / "a.txt").read_text() == "done"


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(WorldweaveError, match=r"there is no folder .*nowhere; create"),
        atomic_path(tmp_path / "nowhere" / "a.txt"),
    ):
        pass


def test_a_folder_is_no_file_to_write(tmp_path: Path) -> None:
    with pytest.raises(WorldweaveError, match="it is a folder"), atomic_path(tmp_path):
        pass


def test_a_pipe_is_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(WorldweaveError, match="not a regular file"), atomic_path(pipe):
        pass
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_name_too_long_is_refused_before_the_work(tmp_path: Path) -> None:
    with (
        pytest.raises(WorldweaveError, match="the name is too long"),
        atomic_path(tmp_path / ("a" * 300)),
    ):
        pytest.fail("the work began")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_closed_folder_is_refused_before_the_work(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with (
        pytest.raises(WorldweaveError, match="no permission"),
        atomic_path(tmp_path / "a.txt"),
    ):
        pytest.fail("the work began")


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with (
        pytest.raises(WorldweaveError, match="the disk is full; free some") as caught,
        atomic_path(tmp_path / "a.txt"),
        open("/dev/full", "wb", buffering=0) as full,
    ):
        full.write(b"x")
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == []


def test_other_errors_of_the_work_pass_through(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "a.txt"):
        open(tmp_path / "source.txt").close()
    assert names(tmp_path) == []


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, (1 << 20) + 1])
def test_the_checksum_is_that_of_the_whole_file(tmp_path: Path, size: int) -> None:
    content = bytes(i * 7 % 256 for i in range(size))
    (tmp_path / "a").write_bytes(content)
    assert sha256(tmp_path / "a") == hashlib.sha256(content).hexdigest()


def test_enough_room_is_no_error(tmp_path: Path) -> None:
    free_space_check(tmp_path, 1)


def test_too_little_room_is_said_in_numbers(tmp_path: Path) -> None:
    with pytest.raises(WorldweaveError, match=r"free but 1000000\.0 TB are needed"):
        free_space_check(tmp_path, 10**18)


def test_a_folder_to_be_made_is_judged_by_its_parent(tmp_path: Path) -> None:
    free_space_check(tmp_path / "not" / "yet", 1)
    with pytest.raises(WorldweaveError, match="not/yet has"):
        free_space_check(tmp_path / "not" / "yet", 10**18)


@pytest.mark.parametrize(
    ("count", "text"),
    [(7, "7 bytes"), (2500, "2.5 kB"), (945_896, "945.9 kB"), (3 * 10**12, "3.0 TB")],
)
def test_sizes_read_well(count: int, text: str) -> None:
    assert readable_size(count) == text
