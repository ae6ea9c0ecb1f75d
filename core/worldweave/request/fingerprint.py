"""The hashes of everything a request reads."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from worldweave.io.files import tree_sha256
from worldweave.request.spec import Request
from worldweave.request.walk import inputs


def input_hashes(
    request: Request, known: Mapping[str, str | None] | None = None
) -> dict[str, str]:
    """Return the SHA-256 of every file and array that *request* reads.

    known: those that need no reading, by what they are for; None for what is not read
    at all. A modality at map 0 may name files that are not there: they are left out.
    """
    hashes = {}
    for name, value in inputs(request).items():
        if known is not None and name in known:
            digest = known[name]
            if digest is not None:
                hashes[name] = digest
        elif isinstance(value, np.ndarray):
            hashes[name] = _array_hash(value)
        elif Path(value).exists():
            hashes[name] = tree_sha256(Path(value))
    return hashes


def _array_hash(array: npt.NDArray[Any]) -> str:
    head = f"{array.dtype} {array.shape}".encode()
    return hashlib.sha256(head + np.ascontiguousarray(array).tobytes()).hexdigest()
