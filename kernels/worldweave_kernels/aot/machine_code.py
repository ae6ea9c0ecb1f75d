"""Read from compiled machine code what a kernel takes and which instructions it has."""

from __future__ import annotations

import bisect
import itertools
import re
import struct
import subprocess
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from worldweave_kernels.aot.gpus import GPUS

if TYPE_CHECKING:
    from worldweave_kernels.aot.stand_in import Launch

#: Columns of tensor memory that a program may have (sm_100 and later).
TENSOR_MEMORY_LIMIT = 512

_RESOURCE = re.compile(r"\b(REG|STACK):(\d+)")
# An address, perhaps a predicate, and the instruction with its modifiers.
_INSTRUCTION = re.compile(r"^\s*/\*([0-9a-f]+)\*/\s+(?:@!?\w+\s+)?([A-Z][\w.]*)", re.M)
_TENSOR_CORE = re.compile(r"(HMMA|HGMMA|UTCHMMA)\b")


class Kernel(NamedTuple):
    """What a compiled kernel takes, and instructions that matter, counted."""

    case: str
    name: str
    arch: int
    warps: int
    registers: int
    #: Bytes of a thread's stack, and bytes that its code writes there: spill stores.
    stack: int
    spilled: int
    #: Bytes.
    shared: int
    tensor_memory: int
    #: Global loads and stores of 128 bits or more, and loads of 16 bits or fewer.
    wide_loads: int
    wide_stores: int
    narrow_loads: int
    tma_loads: int
    #: Which instructions use the tensor cores, and how many.
    tensor_core: tuple[tuple[str, int], ...]
    #: Whether the source multiplies matrices, and loads by descriptors.
    multiplies: bool
    has_descriptors: bool

    @property
    def problems(self) -> list[str]:
        """What would make it slow or not start at all; empty if it is well."""
        limit = GPUS[self.arch].shared
        found = {
            f"spills {self.spilled} bytes of registers": self.spilled > 0,
            f"takes {self.shared} bytes of shared memory; there are {limit}": (
                self.shared > limit
            ),
            f"takes {self.tensor_memory} columns of tensor memory; there are "
            f"{TENSOR_MEMORY_LIMIT}": self.tensor_memory > TENSOR_MEMORY_LIMIT,
            "has no 128-bit loads (are strides multiples of 16?)": (
                self.wide_loads + self.tma_loads == 0
            ),
            f"has {self.narrow_loads} loads of single 16-bit numbers": (
                self.narrow_loads > 0
            ),
            "multiplies matrices without tensor cores": (
                self.multiplies and not self.tensor_core
            ),
            "has descriptors but no TMA loads": (
                self.has_descriptors and self.arch >= 90 and self.tma_loads == 0
            ),
        }
        return [problem for problem, is_so in found.items() if is_so]


def read(launches: Sequence[tuple[str, Launch]]) -> list[Kernel]:
    """Read the kernels of *launches*, each with the name of its case."""
    instructions: dict[int, Counter[str]] = {}
    for arch in {launch.arch for _, launch in launches}:
        at = [index for index, (_, each) in enumerate(launches) if each.arch == arch]
        codes = [_code(launches[index][1].compiled.asm["cubin"]) for index in at]
        instructions.update(zip(at, _instructions(codes, arch), strict=True))
    return [
        _kernel(case, launch, instructions[index])
        for index, (case, launch) in enumerate(launches)
    ]


def _kernel(case: str, launch: Launch, instructions: Counter[str]) -> Kernel:
    compiled, takes = launch.compiled, _resources(launch.compiled.asm["cubin"])
    tensor_core: Counter[str] = Counter()
    for instruction, count in instructions.items():
        if kind := _TENSOR_CORE.match(instruction):
            tensor_core[kind[1]] += count
    return Kernel(
        case=case,
        name=launch.name,
        arch=launch.arch,
        warps=compiled.metadata.num_warps,
        registers=takes["REG"],
        stack=takes["STACK"],
        spilled=sum(
            count * _bits(instruction) // 8
            for instruction, count in instructions.items()
            if instruction.startswith("STL")
        ),
        shared=compiled.metadata.shared,
        # Older Tritons have none where an architecture has none.
        tensor_memory=getattr(compiled.metadata, "tmem_size", None) or 0,
        wide_loads=_count(instructions, r"(LDG|LDGSTS)\b.*\.(128|256)\b"),
        wide_stores=_count(instructions, r"STG\b.*\.(128|256)\b"),
        narrow_loads=_count(instructions, r"LDG\b.*\.[US](8|16)\b"),
        tma_loads=_count(instructions, r"UTMALDG\b"),
        tensor_core=tuple(sorted(tensor_core.items())),
        multiplies="tt.dot" in compiled.asm["ttir"],
        has_descriptors="tt.descriptor_load" in compiled.asm["ttir"],
    )


def _code(cubin: bytes) -> bytes:
    """Return the instructions of the one kernel in an ELF file of 64 bits."""
    (table,) = struct.unpack_from("<Q", cubin, 40)
    size, number, index_of_names = struct.unpack_from("<HHH", cubin, 58)
    # Of each section: the place of its name, ..., its own place, and its size.
    sections = [
        struct.unpack_from("<IIQQQQ", cubin, table + index * size)
        for index in range(number)
    ]
    names = sections[index_of_names][4]
    for name, _, _, _, start, length in sections:
        if cubin[names + name :].startswith(b".text."):
            return cubin[start : start + length]
    raise ValueError("the compiled kernel has no section .text, where its code is")


def _instructions(codes: Sequence[bytes], arch: int) -> list[Counter[str]]:
    """Disassemble *codes* at once, for the tool takes 0.2 to 0.4 s to start."""
    with tempfile.TemporaryDirectory() as folder:
        binary = Path(folder, "code")
        binary.write_bytes(b"".join(codes))
        name = f"SM{arch}a" if arch >= 90 else f"SM{arch}"
        listing = _output("nvdisasm", "--binary", name, str(binary))
    ends = list(itertools.accumulate(map(len, codes)))
    counts: list[Counter[str]] = [Counter() for _ in codes]
    for address, instruction in _INSTRUCTION.findall(listing):
        counts[bisect.bisect_right(ends, int(address, 16))][instruction] += 1
    return counts


def _resources(cubin: bytes) -> dict[str, int]:
    with tempfile.TemporaryDirectory() as folder:
        binary = Path(folder, "kernel.cubin")
        binary.write_bytes(cubin)
        usage = _output("cuobjdump", "--dump-resource-usage", str(binary))
    return {what: int(amount) for what, amount in _RESOURCE.findall(usage)}


def _output(tool: str, *arguments: str) -> str:
    """Return what a tool prints that comes with triton."""
    import triton.backends.nvidia

    path = Path(triton.backends.nvidia.__file__).parent / "bin" / tool
    return subprocess.run(
        [str(path), *arguments], check=True, capture_output=True, text=True
    ).stdout


def _count(instructions: Counter[str], pattern: str) -> int:
    return sum(n for each, n in instructions.items() if re.match(pattern, each))


def _bits(instruction: str) -> int:
    """Return how many bits a load or a store moves."""
    size = re.search(r"\.[US]?(8|16|64|128)\b", instruction)
    return int(size[1]) if size else 32
