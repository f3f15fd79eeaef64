"""Sums, differences, and products with numbers in a traced model, as one weighted sum."""

import math
import operator
from typing import Any

import torch
from torch import fx

from mixq_rl.nn.addition import Add
from mixq_rl.nn.conversion.call import Call, Made, is_called
from mixq_rl.nn.conversion.canonical import ADD

__all__ = ["LINEAR", "convert_sum"]

_SUBTRACT = (operator.sub, operator.isub, torch.sub, torch.subtract, "sub", "sub_")
_REVERSED = (torch.rsub, "rsub")
_MULTIPLY = (operator.mul, operator.imul, torch.mul, torch.multiply, "mul", "mul_")
_DIVIDE = (operator.truediv, operator.itruediv, torch.div, torch.divide, "div", "div_")
_NEGATE = (operator.neg, torch.neg, torch.negative, "neg", "neg_")

LINEAR = (*ADD, *_SUBTRACT, *_REVERSED, *_MULTIPLY, *_DIVIDE, *_NEGATE)
"""Functions and methods that can be part of a weighted sum."""


def convert_sum(call: Call, *args: Any, **kwargs: Any) -> Made | None:
    """Convert a weighted sum, the parts of which are functions of :data:`LINEAR`; None: it is part of a later sum."""
    terms = _split(call, call.node)
    if _is_part_of_sum(call.node):
        return None
    coefficients, sources = zip(*_collected(call, terms), strict=True)
    for coefficient in coefficients:
        if not math.isfinite(coefficient) or coefficient == 0:
            raise call.refusal(f"multiplies by {coefficient}, which is not supported", "choose another number")
    scaled = None if set(coefficients) == {1.0} else tuple(coefficients)
    norm, relu = call.following_norm(), call.following_relu()
    return Add(f"{call.name}.update", coefficients=scaled, norm=norm, relu=relu), sources


Terms = list[tuple[float, fx.Node]]


def _collected(call: Call, terms: Terms) -> Terms:
    found: Terms = []
    for coefficient, node in terms:
        if is_called(node, LINEAR) and _is_part_of_sum(node):
            inner = Call(node, call.model, node.name)  # named in its errors
            found += [(coefficient * factor, part) for factor, part in _collected(inner, _split(inner, node))]
        else:
            found.append((coefficient, call.value(node)))
    return found


def _split(call: Call, node: fx.Node) -> Terms:
    """Return the terms of one call."""
    left, right, options = _operands(node)
    alpha = options.pop("alpha", 1)
    if options or not isinstance(alpha, int | float):
        raise call.refusal(f"has {', '.join(options) or 'alpha'}, which is not supported", "leave it out")
    if is_called(node, _NEGATE):
        return [(-1.0, call.value(left))]
    if is_called(node, (*_MULTIPLY, *_DIVIDE)):
        return [_scaled(call, node, left, right)]
    first, second = (1.0, float(alpha)) if is_called(node, ADD) else (1.0, -float(alpha))
    if is_called(node, _REVERSED):
        first, second = second, first
    return [(first, call.value(left)), (second, call.value(right))]


def _scaled(call: Call, node: fx.Node, left: Any, right: Any) -> tuple[float, fx.Node]:
    divides = is_called(node, _DIVIDE)
    if isinstance(left, int | float) and not divides:
        left, right = right, left
    if not isinstance(right, int | float) or (divides and right == 0):
        what = "divides" if divides else "multiplies"
        of_self = " two values" if isinstance(right, fx.Node) else f" by {right}"
        raise call.refusal(
            f"{what}{of_self}, which is not supported",
            "scale by a number, or by a Linear layer or a BatchNorm; of x * sigmoid(x), SiLU",
        )
    return 1 / right if divides else float(right), call.value(left)


def _operands(node: fx.Node) -> tuple[Any, Any, dict[str, Any]]:
    options = dict(node.kwargs)
    operands = [*node.args, *(options.pop(name) for name in ("input", "self", "other") if name in options)]
    left, right = (*operands, None)[:2]
    if len(operands) > 2:
        options["alpha"] = operands[2]
    return left, right, options


def _is_part_of_sum(node: fx.Node) -> bool:
    """Return whether a value is used only as a term of a sum that is converted later."""
    return len(node.users) == 1 and is_called(next(iter(node.users)), LINEAR)
