"""Checks of data that work both in eager execution and in programs that torch traces."""

from collections.abc import Callable

import torch
from torch import SymBool, Tensor

from mixq_rl.errors import InvalidGraphError

__all__ = ["check_finite", "require"]


def require(condition: Tensor | bool | SymBool, reason: str, error: Callable[[], Exception]) -> None:
    """Check a condition: now in eager execution, at each run of a traced program.

    Args:
        condition: boolean scalar, a tensor or not.
        reason: message of the RuntimeError that a traced program raises; it cannot contain values.
        error: returns the exception that eager execution raises, which may name the offending value.
    """
    if not torch.compiler.is_compiling():
        if not bool(condition):
            raise error()
    elif isinstance(condition, Tensor):
        torch._assert_async(condition, reason)
    else:
        torch._check(condition, lambda: reason)


def check_finite(x: Tensor) -> None:
    """Check that the features of all nodes, ``[nodes, features]``, are finite.

    Raises:
        InvalidGraphError: naming a node whose features are not finite.
    """

    def error() -> InvalidGraphError:
        node = int((~torch.isfinite(x)).any(dim=1).nonzero()[0])
        return InvalidGraphError(f"the features of node {node} are not finite: replace NaN and infinity")

    require(torch.isfinite(x).all(), "the features of a node are not finite: replace NaN and infinity", error)
