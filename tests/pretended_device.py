"""A GPU that is not there: tensors of the CPU that say they are on it, and that do not mix with those of the CPU.

Everything is executed on the CPU, so that values exist, and whatever Python does with them works. Which memory is
pretended to be elsewhere is remembered by storage, since views and what autograd saves share it. Operations are seen
twice: as Python calls them, where a device is named or asked for, and as torch dispatches them, backward passes and
optimizers included, where operands of two devices are refused and results are where the operands were.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
import torch._dynamo  # it looks through torch.cuda, which must be as it is
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["ELSEWHERE", "pretended_gpu"]

ELSEWHERE = torch.device("cuda", 0)
_ACROSS = {torch.ops.aten.copy_.default}


class _Memory:
    """Which storages are pretended to be elsewhere; kept alive, so that no other takes the place of one."""

    def __init__(self) -> None:
        self._storages: dict[int, torch.UntypedStorage] = {}

    def holds(self, tensor: Tensor) -> bool:
        return tensor.layout is torch.strided and tensor.untyped_storage()._cdata in self._storages

    def take(self, value: Any) -> None:
        for tensor in _tensors(value):
            storage = tensor.untyped_storage()
            self._storages[storage._cdata] = storage

    def release(self, value: Any) -> None:
        for tensor in _tensors(value):
            self._storages.pop(tensor.untyped_storage()._cdata, None)


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value] if value.layout is torch.strided else []
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list | tuple):
        return []
    return [tensor for part in value for tensor in _tensors(part)]


class _Dispatched(TorchDispatchMode):
    """Refuses operands of two devices, scalars excepted, as torch does, and puts results where the operands are."""

    def __init__(self, memory: _Memory) -> None:
        super().__init__()
        self._memory = memory

    def __torch_dispatch__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        operands = _tensors([args, kwargs])
        there = [operand for operand in operands if self._memory.holds(operand)]
        here = [operand for operand in operands if operand.dim() and not self._memory.holds(operand)]
        if there and here and func not in _ACROSS:
            raise RuntimeError(f"{func}: expected all tensors to be on the same device, not on {ELSEWHERE} and cpu")
        result = func(*args, **(kwargs or {}))
        if there and func not in _ACROSS:
            self._memory.take(result)
        return result


class _Called(TorchFunctionMode):
    """Answers for the device of a tensor, and makes or moves tensors where they are wanted."""

    def __init__(self, memory: _Memory) -> None:
        super().__init__()
        self._memory = memory

    def __torch_function__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func == Tensor.device.__get__:  # type: ignore[attr-defined]
            return ELSEWHERE if self._memory.holds(args[0]) else func(*args)
        if func == Tensor.is_cuda.__get__:  # type: ignore[attr-defined]
            return self._memory.holds(args[0])
        if func is Tensor.backward:
            with self:  # a backward pass calls what Python has of it
                engine: Any = torch.autograd.Variable._execution_engine  # type: ignore[attr-defined]
                return engine.run_backward(
                    (args[0],),
                    (torch.ones_like(args[0]),),
                    False,
                    False,
                    (),
                    allow_unreachable=True,
                    accumulate_grad=True,
                )
        if func is Tensor.to:
            return self._moved(*args, **kwargs)
        if func in (Tensor.cpu, Tensor.cuda):
            return self._moved(args[0], "cpu" if func is Tensor.cpu else ELSEWHERE)
        if func is Tensor.numpy and self._memory.holds(args[0]):
            raise TypeError(f"can't convert {ELSEWHERE} device type tensor to numpy")
        if func is Tensor.__deepcopy__:
            copied = func(*args)
            return self._put(copied, ELSEWHERE if self._memory.holds(args[0]) else torch.device("cpu"))
        wanted = kwargs.get("device")
        if wanted is None:
            return func(*args, **kwargs)
        kwargs["device"] = "cpu"
        return self._put(func(*args, **kwargs), torch.device(wanted))

    def _moved(self, tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        given = [*args, kwargs.get("device"), kwargs.get("dtype")]
        target = next((argument for argument in given if isinstance(argument, str | torch.device)), None)
        dtype = next((argument for argument in given if isinstance(argument, torch.dtype)), tensor.dtype)
        converted = tensor.to(dtype)
        if target is None or (torch.device(target).type == "cuda") == self._memory.holds(tensor):
            return converted
        return self._put(converted.clone(), torch.device(target))

    def _put(self, value: Any, device: torch.device) -> Any:
        if device.type == "cuda":
            self._memory.take(value)
        else:
            self._memory.release(value)
        return value


class _Event:
    def __init__(self, **options: Any) -> None: ...

    def record(self, *stream: Any) -> None: ...

    def synchronize(self) -> None: ...

    def elapsed_time(self, other: "_Event") -> float:
        return 1.0


def _does_nothing(*arguments: Any) -> None: ...


def _no_accelerator(check_available: bool = False) -> None: ...


_PATCHES: Mapping[str, Callable[..., Any]] = {
    "Event": _Event,
    "device": lambda device: nullcontext(),
    "device_of": lambda tensor: nullcontext(),
    "is_available": lambda: True,
    "device_count": lambda: 1,
    "current_device": lambda: 0,
    "synchronize": _does_nothing,
    "manual_seed": _does_nothing,
    "get_rng_state": _does_nothing,
    "set_rng_state": _does_nothing,
}


@contextmanager
def pretended_gpu() -> Iterator[None]:
    """Pretend inside the block that there is a GPU, ``ELSEWHERE``."""
    memory = _Memory()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        for name, stand_in in _PATCHES.items():
            patch.setattr(torch.cuda, name, stand_in)
        # Optimizers ask a CUDA build's accelerator whether it records a graph, which needs a driver.
        patch.setattr(torch.accelerator, "current_accelerator", _no_accelerator)
        with _Called(memory), _Dispatched(memory):
            yield
