"""Converters of functions and tensor methods."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch_geometric.nn import global_add_pool, global_max_pool, global_mean_pool

from mixq_rl.nn.combination import Concatenate, Maximum
from mixq_rl.nn.conversion.activations import ACTIVATIONS, convert_activation, convert_relu, functional_activation
from mixq_rl.nn.conversion.call import Call, Made
from mixq_rl.nn.conversion.replacements import LOGITS
from mixq_rl.nn.conversion.sums import LINEAR, convert_sum
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
    return dropout(call, input, p)


def _pool(reduce: str) -> Callable[..., Made]:
    def convert(call: Call, x: Any, batch: Any, size: int | None = None) -> Made:
        call.require("size", size, (None,), "leave it out")
        return pooling(call, x, batch, reduce)

    return convert


def _clamp(call: Call, input: Any, min: Any = None, max: Any = None) -> Made:  # noqa: A002
    if not all(isinstance(bound, int | float | None) for bound in (min, max)):
        raise call.refusal("has bounds that are not numbers", "give it numbers")
    if max is None and min == 0:
        return convert_relu(call, input)
    bounds = (-math.inf if min is None else min, math.inf if max is None else max)
    return convert_activation(call, nn.Hardtanh(*bounds), input)


def _cat(call: Call, tensors: Sequence[Any], dim: int = 0) -> Made:
    call.require("dim", dim, (1, -1), "concatenate columns, with dim=-1")
    return concatenation(call, tensors)


def _binary_maximum(call: Call, input: Any, other: Any) -> Made:  # noqa: A002
    return maximum(call, input, other)


FUNCTIONS: dict[Callable[..., Any] | str, Callable[..., Made | None]] = {
    global_add_pool: _pool("sum"),
    global_mean_pool: _pool("mean"),
    global_max_pool: _pool("max"),
    functional.dropout: _dropout,
    **dict.fromkeys((torch.clamp, torch.clip, "clamp", "clamp_", "clip"), _clamp),
    **dict.fromkeys(LINEAR, convert_sum),
    **dict.fromkeys((torch.cat, torch.concat, torch.concatenate), _cat),
    **dict.fromkeys((torch.maximum, torch.max, "maximum", "max"), _binary_maximum),
    **{alias: functional_activation(kind) for kind, aliases in ACTIVATIONS.items() for alias in aliases},
}
"""Converters by function, or by the name of a method. None: the call is part of a sum that comes later."""

_POOL = "pool with global_add_pool, global_mean_pool or global_max_pool, and hand them the model's batch"
_NORM = "use a BatchNorm layer"
_SCALE = "scale by a number, or by a Linear layer or a BatchNorm; of x * sigmoid(x), SiLU"
_BY_HAND = "GCNConv and gcn_norm normalise by degrees; other sums over edges belong into a layer that is supported"
_SHAPE = "features are [nodes, columns] from layer to layer; choose or reshape columns before the model sees them"

REPLACED_FUNCTIONS: dict[str, str] = {
    **dict.fromkeys(("softmax", "log_softmax"), LOGITS),
    **dict.fromkeys(("sum", "mean", "amax"), f"{_POOL}; normalise rows in the data"),
    "stack": "use torch.cat of columns, or + and a number for a mean of results",
    "arange": "numbers of nodes belong into x, as one-hot columns or learned features",
    **dict.fromkeys(("batch_norm", "layer_norm", "instance_norm", "group_norm", "normalize"), _NORM),
    **dict.fromkeys(("mul", "imul", "truediv", "div", "sub", "isub", "neg", "rsub"), _SCALE),
    **dict.fromkeys(("linear", "matmul", "mm", "addmm"), "use a Linear layer"),
    **dict.fromkeys(("prelu", "rrelu"), "use leaky_relu"),
    **dict.fromkeys(("degree", "scatter", "index_select", "index_add", "rsqrt"), _BY_HAND),
    **dict.fromkeys(("view", "reshape", "squeeze", "unsqueeze", "flatten", "transpose", "t", "getitem"), _SHAPE),
    **dict.fromkeys(("alpha_dropout", "dropout1d", "feature_alpha_dropout"), "use dropout"),
    **dict.fromkeys(("pow", "exp", "log", "sqrt", "abs", "square"), "use an activation, such as softplus or tanh"),
    **dict.fromkeys(("detach",), "leave it out: it changes nothing but gradients"),
    **dict.fromkeys(("size", "shape", "ones", "zeros"), "sizes and new tensors belong into __init__"),
    **dict.fromkeys(("randn_like", "rand_like", "bernoulli"), "noise belongs into the data, or use dropout"),
}
"""What could replace functions that cannot be converted, by their names."""
