"""Converters of functions and tensor methods."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx
from torch.nn import functional
from torch_geometric.nn import global_add_pool, global_max_pool, global_mean_pool

from mixq_rl.nn.addition import Add
from mixq_rl.nn.combination import Concatenate, Maximum
from mixq_rl.nn.conversion.activations import ACTIVATIONS, functional_activation
from mixq_rl.nn.conversion.call import Call, Made
from mixq_rl.nn.conversion.canonical import ADD, is_add
from mixq_rl.nn.conversion.replacements import LOGITS
from mixq_rl.nn.operator import Dropout
from mixq_rl.nn.pooling import MaxPool, mean_pool, sum_pool

__all__ = ["FUNCTIONS", "REPLACED_FUNCTIONS", "concatenation", "dropout", "maximum", "pooling"]


def dropout(call: Call, x: Any, p: float) -> Made:
    """Convert dropout of probability ``p``."""
    if not 0 <= p < 1:
        raise call.refusal(f"has p={p}, which is not supported", "choose 0 <= p < 1")
    return Dropout(p), (call.value(x),)


def concatenation(call: Call, parts: Sequence[Any]) -> Made:
    """Convert a concatenation of columns."""
    return Concatenate(f"{call.name}.update"), tuple(call.value(part) for part in parts)


def maximum(call: Call, *parts: Any) -> Made:
    """Convert an elementwise maximum of several values."""
    return Maximum(f"{call.name}.update"), tuple(call.value(part) for part in parts)


def pooling(call: Call, x: Any, batch: Any, reduce: str) -> Made:
    """Return the converter of a pooling: sum, mean or maximum over each graph's nodes."""
    call.check_batch(batch)
    if reduce == "max":
        return MaxPool(), (call.value(x),)
    pool = mean_pool if reduce == "mean" else sum_pool
    return pool(f"{call.name}.aggregate"), (call.value(x),)


def _dropout(call: Call, input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Made:  # noqa: A002
    # The trace is in evaluation mode, so True does not come from self.training.
    call.require("training", training, (False,), "give it training=self.training")
    return dropout(call, input, p)


def _pool(reduce: str) -> Callable[..., Made]:
    def convert(call: Call, x: Any, batch: Any, size: int | None = None) -> Made:
        call.require("size", size, (None,), "leave it out")
        return pooling(call, x, batch, reduce)

    return convert


def _cat(call: Call, tensors: Sequence[Any], dim: int = 0) -> Made:
    call.require("dim", dim, (1, -1), "concatenate columns, with dim=-1")
    return concatenation(call, tensors)


def _binary_maximum(call: Call, input: Any, other: Any) -> Made:  # noqa: A002
    return maximum(call, input, other)


def _add(call: Call, left: Any, right: Any, /) -> Made | None:
    if _is_part_of_sum(call.node):
        return None
    sources = tuple(call.value(addend) for addend in _addends(call.node))
    return Add(f"{call.name}.update", norm=call.following_norm(), relu=call.following_relu()), sources


def _is_part_of_sum(node: fx.Node) -> bool:
    """Return whether a sum is used only as an addend of another sum."""
    return len(node.users) == 1 and is_add(next(iter(node.users)))


def _addends(node: fx.Node) -> list[Any]:
    addends: list[Any] = []
    for argument in node.args:
        inner = isinstance(argument, fx.Node) and is_add(argument) and _is_part_of_sum(argument)
        addends += _addends(argument) if inner else [argument]  # type: ignore[arg-type]
    return addends


FUNCTIONS: dict[Callable[..., Any] | str, Callable[..., Made | None]] = {
    global_add_pool: _pool("sum"),
    global_mean_pool: _pool("mean"),
    global_max_pool: _pool("max"),
    functional.dropout: _dropout,
    **dict.fromkeys(ADD, _add),
    **dict.fromkeys((torch.cat, torch.concat, torch.concatenate), _cat),
    **dict.fromkeys((torch.maximum, torch.max, "maximum", "max"), _binary_maximum),
    **{alias: functional_activation(kind) for kind, aliases in ACTIVATIONS.items() for alias in aliases},
}
"""Converters by function, or by the name of a method. None: the call is part of a sum that comes later."""

_POOL = "pool with global_add_pool, global_mean_pool or global_max_pool, and hand them the model's batch"
_NORM = "use a BatchNorm layer"
_SCALE = "let a Linear layer or a BatchNorm do it; of x * sigmoid(x), SiLU"

REPLACED_FUNCTIONS: dict[str, str] = {
    **dict.fromkeys(("softmax", "log_softmax"), LOGITS),
    **dict.fromkeys(("sum", "mean", "amax", "stack"), _POOL),
    **dict.fromkeys(("batch_norm", "layer_norm", "instance_norm", "group_norm", "normalize"), _NORM),
    **dict.fromkeys(("mul", "imul", "truediv", "div", "sub", "isub", "neg", "rsub"), _SCALE),
    **dict.fromkeys(("linear", "matmul", "mm", "addmm"), "use a Linear layer"),
    **dict.fromkeys(("prelu", "rrelu"), "use leaky_relu"),
}
"""What could replace functions that cannot be converted, by their names."""
