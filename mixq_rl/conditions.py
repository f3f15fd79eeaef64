"""Conditions on data: checked at once, or, where torch traces a program, whenever that program runs."""

from collections.abc import Callable

import torch
from torch import SymBool, Tensor

from mixq_rl.errors import InvalidGraphError

__all__ = ["check_finite", "require"]


def require(condition: Tensor | bool | SymBool, reason: str, error: Callable[[], Exception]) -> None:
    """Check a condition.

    Args:
        condition: a boolean scalar, in a tensor or not.
        reason: what a traced program says, as a RuntimeError; it knows no values.
        error: makes the exception that is raised otherwise, which may look for the offending value.
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
        InvalidGraphError: naming a node of which they are not.
    """

    def error() -> InvalidGraphError:
        node = int((~torch.isfinite(x)).any(dim=1).nonzero()[0])
        return InvalidGraphError(f"the features of node {node} are not finite: replace NaN and infinity")

    require(torch.isfinite(x).all(), "the features of a node are not finite: replace NaN and infinity", error)
