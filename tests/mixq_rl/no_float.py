"""Watching for floating point where there must be none."""

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten


class NoFloat(TorchDispatchMode):
    """Fails on any tensor operation that takes or gives floating-point numbers; counts the others."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0

    def __torch_dispatch__(self, func: Any, kinds: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        leaves, _ = tree_flatten((args, kwargs, result))
        for leaf in leaves:
            if isinstance(leaf, torch.Tensor) and (leaf.is_floating_point() or leaf.is_complex()):
                raise AssertionError(f"{func} touches {leaf.dtype}")
            if isinstance(leaf, torch.dtype) and leaf.is_floating_point:
                raise AssertionError(f"{func} converts to {leaf}")
        self.operations += 1
        return result
