"""Let operations run on a GPU that is not there, and keep what they would launch."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
import triton.knobs
from torch.utils._python_dispatch import TorchDispatchMode
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction

from worldweave_kernels.aot.gpus import GPUS


class Launch(NamedTuple):
    """A kernel as it would be launched, compiled."""

    name: str
    arch: int
    compiled: Any


def launches(operation: Callable[[], object], arch: int) -> list[Launch]:
    """Return what *operation* would launch on a GPU of *arch* (90 is sm_90).

    Its tensors, made inside it on "cuda", have shapes, strides and dtypes but no
    memory. Whatever launcher runs chooses for itself, from them and from what the
    GPU says it is; Triton derives a signature and divisibilities from the arguments
    as it does for a real launch, and compiles. Nothing is executed.
    Raise RuntimeError in a process that interprets kernels.
    """
    if triton.knobs.runtime.interpret:
        raise RuntimeError(
            "kernels are interpreted in this process, not compiled; start one "
            "without TRITON_INTERPRET"
        )
    kept: list[Launch] = []
    compile_only = JITFunction.run

    def keep(self: Any, *args: Any, grid: object, warmup: bool, **kwargs: Any) -> Any:
        compiled = compile_only(self, *args, grid=grid, warmup=True, **kwargs)
        kept.append(Launch(self.fn.__name__, arch, compiled))
        return compiled

    with _gpu(arch), _replaced(JITFunction, run=keep):
        operation()
    return kept


@contextlib.contextmanager
def _gpu(arch: int) -> Iterator[None]:
    """Pretend that there is a GPU of *arch*, to torch and to triton."""
    capability = divmod(arch, 10)
    properties = SimpleNamespace(
        name=GPUS[arch].name,
        major=capability[0],
        minor=capability[1],
        multi_processor_count=GPUS[arch].processors,
        shared_memory_per_block_optin=GPUS[arch].shared,
    )
    torch_cuda = {
        "get_device_capability": lambda device=None: capability,
        "get_device_properties": lambda device=None: properties,
        "device_of": lambda tensor: contextlib.nullcontext(),
        "device": lambda device: contextlib.nullcontext(),
        "_lazy_init": lambda: None,
    }
    tensors = _OnMeta()
    with (
        _replaced(torch.cuda, **torch_cuda),
        _replaced(torch.Tensor, **tensors.claims),
        _replaced(driver, _active=_Driver(arch)),
        tensors,
        torch.no_grad(),
    ):
        yield


@contextlib.contextmanager
def _replaced(owner: Any, **attributes: Any) -> Iterator[None]:
    """Give *owner* other attributes for a while."""
    missing = object()
    own = {name: vars(owner).get(name, missing) for name in attributes}
    try:
        for name, value in attributes.items():
            setattr(owner, name, value)
        yield
    finally:
        for name, value in own.items():
            if value is missing:
                delattr(owner, name)
            else:
                setattr(owner, name, value)


class _Driver:
    """What Triton asks of a driver before it compiles."""

    def __init__(self, arch: int) -> None:
        self._arch = arch

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", self._arch, 32)

    def get_current_device(self) -> int:
        # Compiled kernels are kept by device: one for each architecture.
        return self._arch

    def get_current_stream(self, device: int) -> int:
        return 0


class _OnMeta(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Make tensors without memory for "cuda", and call our operations with them.

    Torch would answer for those by their fake implementations, which launch nothing.
    Fake tensors would not do: in a torch without CUDA they cannot even be indexed.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._claim_cuda = True
        cuda = torch.device("cuda", 0)
        device = inspect.getattr_static(torch.Tensor, "device")
        is_cuda = inspect.getattr_static(torch.Tensor, "is_cuda")
        #: What a tensor is to say of itself, except to torch's own functions.
        self.claims = {
            "device": property(
                lambda x: cuda if self._claim_cuda else device.__get__(x)
            ),
            "is_cuda": property(lambda x: self._claim_cuda or is_cuda.__get__(x)),
            # Memory that torch hands out begins at multiples of at least 16 bytes.
            "data_ptr": lambda x: x.storage_offset() * x.itemsize,
        }

    def __torch_dispatch__(
        self,
        func: Any,
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func.namespace == "worldweave":
            with self, self._claiming(True):
                key = torch._C.DispatchKeySet(torch._C.DispatchKey.CUDA)
                return func.redispatch(key, *args, **kwargs)
        if kwargs.get("device") is not None:
            kwargs["device"] = torch.device("meta")
        with self._claiming(False):
            return func(*args, **kwargs)

    @contextlib.contextmanager
    def _claiming(self, claim: bool) -> Iterator[None]:
        before, self._claim_cuda = self._claim_cuda, claim
        try:
            yield
        finally:
            self._claim_cuda = before
