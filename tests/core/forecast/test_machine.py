import pytest
import torch

from worldweave.forecast.machine import (
    available_memory,
    available_on,
    process_bytes,
    processor_name,
)


def plant(root, files):
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


MEMINFO = {"proc/meminfo": "MemTotal: 9000 kB\nMemAvailable:    8000 kB\n"}


def test_without_control_groups_the_system_s_word_counts(tmp_path):
    assert available_memory(plant(tmp_path, MEMINFO)) == 8000 * 1024


def test_a_system_that_does_not_tell_is_none(tmp_path):
    assert available_memory(tmp_path) is None


def test_a_group_of_version_two_limits_and_so_do_its_parents(tmp_path):
    files = {
        **MEMINFO,
        "proc/self/cgroup": "0::/jobs/mine\n",
        "sys/fs/cgroup/jobs/memory.max": "5000000\n",
        "sys/fs/cgroup/jobs/memory.current": "4000000\n",
        "sys/fs/cgroup/jobs/memory.stat": "anon 1\ninactive_file 300000\n",
        "sys/fs/cgroup/jobs/mine/memory.max": "max\n",
        "sys/fs/cgroup/jobs/mine/memory.current": "123\n",
    }
    assert available_memory(plant(tmp_path, files)) == 1_300_000
    (tmp_path / "sys/fs/cgroup/jobs/mine/memory.max").write_text("1000123\n")
    assert available_memory(tmp_path) == 1_000_000


def test_in_a_container_the_mount_itself_is_the_group(tmp_path):
    files = {
        **MEMINFO,
        "proc/self/cgroup": "0::/../../host/path\n",
        "sys/fs/cgroup/memory.max": "2000000\n",
        "sys/fs/cgroup/memory.current": "500000\n",
    }
    assert available_memory(plant(tmp_path, files)) == 1_500_000


def test_a_group_of_version_one_limits(tmp_path):
    files = {
        **MEMINFO,
        "proc/self/cgroup": "4:cpu:/x\n3:cpuset,memory:/job\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        "sys/fs/cgroup/memory/memory.usage_in_bytes": "1\n",
        "sys/fs/cgroup/memory/job/memory.limit_in_bytes": "3000000\n",
        "sys/fs/cgroup/memory/job/memory.usage_in_bytes": "2500000\n",
        "sys/fs/cgroup/memory/job/memory.stat": "total_inactive_file 100000\n",
    }
    assert available_memory(plant(tmp_path, files)) == 600_000


def test_an_overdrawn_group_has_nothing_left(tmp_path):
    files = {
        **MEMINFO,
        "proc/self/cgroup": "0::/\n",
        "sys/fs/cgroup/memory.max": "1000\n",
        "sys/fs/cgroup/memory.current": "5000\n",
    }
    assert available_memory(plant(tmp_path, files)) == 0


@pytest.mark.parametrize("damage", ["", "none", "0", "a:b", "0::/\n:::\n7:memory:"])
def test_files_of_another_shape_are_passed_over(tmp_path, damage):
    files = {**MEMINFO, "proc/self/cgroup": damage}
    assert available_memory(plant(tmp_path, files)) == 8000 * 1024


def test_the_processor_is_named_by_its_model(tmp_path):
    file = tmp_path / "cpuinfo"
    file.write_text("processor : 0\nmodel name\t: Some  CPU @ 2 GHz\n")
    assert processor_name(file) == "Some CPU @ 2 GHz"
    assert processor_name(tmp_path / "none")


def test_a_cpu_has_no_memory_of_its_own():
    assert available_on(torch.device("cpu")) is None


def test_this_process_holds_torch_at_least():
    held = process_bytes()
    assert held is None or 100e6 < held < 20e9
