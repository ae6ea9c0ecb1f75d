"""The GPUs that kernels are compiled for."""

from __future__ import annotations

from typing import NamedTuple


class Gpu(NamedTuple):
    """What differs between GPUs and matters to a launch."""

    name: str
    #: Streaming multiprocessors.
    processors: int
    #: Bytes of shared memory that one program may have: CUDA C++ Programming Guide,
    #: "Technical Specifications per Compute Capability".
    shared: int


#: By architecture: 90 is sm_90.
GPUS = {
    80: Gpu("A100", 108, 163 * 1024),
    89: Gpu("RTX 4090", 128, 99 * 1024),
    90: Gpu("H100, H200", 132, 227 * 1024),
    100: Gpu("B200", 148, 227 * 1024),
    120: Gpu("RTX 5090", 170, 99 * 1024),
}
