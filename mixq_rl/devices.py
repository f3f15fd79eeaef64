"""Devices by name, and deterministic sums on a GPU."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch

from mixq_rl.errors import InputError

__all__ = ["deterministic", "full_name", "resolve_device"]

_KNOWN = ("cpu", "cuda")
_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
_WORKSPACES = (":4096:8", ":16:8")

_wanted: ContextVar[bool] = ContextVar("deterministic_sums", default=True)


def resolve_device(name: str | torch.device) -> torch.device:
    """Return the device of a name, with its number if it is a GPU.

    Args:
        name: ``"cpu"``, ``"cuda"`` (the first GPU), ``"cuda:1"``, or ``"auto"``: the first GPU if torch sees one,
            otherwise the CPU.

    Raises:
        InputError: for an unknown name, or a GPU that does not exist.
    """
    if str(name) == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = _named(name)
    if device.type != "cuda":
        return torch.device("cpu")
    _set_workspace()
    if not torch.cuda.is_available():
        built = "this torch is built without CUDA" if torch.version.cuda is None else "torch sees no GPU"
        raise _unusable(name, f"{built}; choose 'cpu', or resume a run that began on a GPU where there is one")
    count, index = torch.cuda.device_count(), device.index or 0
    if index >= count:
        raise _unusable(name, f"torch sees {count} GPU{'s' if count > 1 else ''}, numbered from 0")
    chosen = torch.device("cuda", index)
    try:
        torch.empty(1, device=chosen)
    except RuntimeError as error:  # for example an old driver, or a GPU that another process uses exclusively
        raise _unusable(name, str(error).splitlines()[0]) from error
    return chosen


def full_name(name: str) -> str:
    """Return the full name of a device, with the number of a GPU. A named GPU need not exist.

    Raises:
        InputError: for an unknown name.
    """
    if name == "auto":
        return str(resolve_device(name))
    device = _named(name)
    return "cpu" if device.type == "cpu" else f"cuda:{device.index or 0}"


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Make sums on a GPU deterministic inside the block. Sums on the CPU always are.

    By default torch adds up atomically on a GPU, in an order that differs from run to run. The block switches its
    deterministic algorithms on; an operation without one raises an error. See
    :func:`torch.use_deterministic_algorithms`.

    Raises:
        InputError: if ``CUBLAS_WORKSPACE_CONFIG`` is set to a value with which cuBLAS is not deterministic.
    """
    if device.type != "cuda" or not _wanted.get():
        yield
        return
    _set_workspace()
    if os.environ[_WORKSPACE] not in _WORKSPACES:
        raise InputError(
            f"{_WORKSPACE} is {os.environ[_WORKSPACE]!r}, with which cuBLAS does not give the same sums every time: "
            f"unset it, or set it to {' or '.join(_WORKSPACES)}"
        )
    enabled, warn_only = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    memory: Any = torch.utils.deterministic
    fill = memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    memory.fill_uninitialized_memory = False  # no code here reads uninitialised memory
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
        memory.fill_uninitialized_memory = fill


@contextmanager
def _nondeterministic() -> Iterator[None]:
    """Make :func:`deterministic` do nothing inside the block, to measure its cost."""
    token = _wanted.set(False)
    try:
        yield
    finally:
        _wanted.reset(token)


def _named(name: str | torch.device) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise _unusable(name, f"it is not among {', '.join(('auto', *_KNOWN))}, cuda:0, cuda:1, ...") from error
    if device.type not in _KNOWN:
        raise _unusable(name, "integers are executed on cpu and cuda")
    return device


def _set_workspace() -> None:
    # cuBLAS reads the variable at its first use.
    os.environ.setdefault(_WORKSPACE, _WORKSPACES[0])


def _unusable(name: str | torch.device, reason: str) -> InputError:
    return InputError(f"device {str(name)!r} cannot be used here: {reason}")
