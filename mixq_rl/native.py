"""The extension in C++ for modules below the kernels, and the tensors that it can read."""

from functools import cache
from importlib import import_module
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

__all__ = ["address", "extension", "readable"]


@cache
def extension() -> Any:
    """Return the extension, or None if it cannot be imported; the kernels then give a warning."""
    try:
        # At the first use: the package that it lies in imports modules that import this one.
        return import_module("mixq_rl.kernels._cpu")
    except ImportError:
        return None


def readable(*tensors: Tensor | None) -> bool:
    """Return whether the extension can read the memory of the tensors, which are those of one operation.

    It reads dense tensors of the CPU, of no subclass, while nothing is traced and no gradient is wanted.
    """
    return (
        not torch.compiler.is_compiling()
        and extension() is not None
        and all(tensor is None or _is_plain(tensor) for tensor in tensors)
    )


def _is_plain(tensor: Tensor) -> bool:
    return (
        type(tensor) in (Tensor, Parameter)
        and tensor.device.type == "cpu"
        and tensor.layout is torch.strided
        and not (tensor.requires_grad and torch.is_grad_enabled())
    )


def address(tensor: Tensor | None) -> int:
    """Return the address of the first entry; 0 for None."""
    return 0 if tensor is None else tensor.data_ptr()
