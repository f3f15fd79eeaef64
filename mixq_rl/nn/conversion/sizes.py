"""Sizes that a traced model reads: the number of nodes, the number of edges, and ones for each edge."""

import operator
from typing import Any

import torch
from torch import fx

__all__ = ["is_edge_index", "is_item", "is_number_of_edges", "is_number_of_nodes", "is_one_each", "is_shape"]


def is_item(node: fx.Node, item: int) -> bool:
    """Return whether a call reads one item of a tuple or tensor."""
    return node.target is operator.getitem and bool(node.args[1] == item)


def is_number_of_nodes(value: Any) -> bool:
    """Return whether an argument is the number of nodes, or None."""
    if not isinstance(value, fx.Node):
        return value is None
    if value.target == "size":
        return bool(value.args[1:] == (0,) or value.kwargs.get("dim") == 0)
    return is_item(value, 0) and isinstance(value.args[0], fx.Node) and is_shape(value.args[0])


def is_shape(node: fx.Node) -> bool:
    """Return whether a call reads the shape of a tensor."""
    return (node.target is getattr and node.args[1] == "shape") or (node.target == "size" and len(node.args) == 1)


def is_edge_index(argument: Any) -> bool:
    """Return whether an argument is the edges of the model's input."""
    return isinstance(argument, fx.Node) and argument.op == "placeholder" and argument.target == "edge_index"


def is_one_each(argument: Any) -> bool:
    """Return whether an argument is a vector of ones, one for each edge of the model's input."""
    if not isinstance(argument, fx.Node) or argument.target not in (torch.ones, "new_ones"):
        return False
    sizes = argument.args if argument.target is torch.ones else argument.args[1:]
    size = sizes[0][0] if len(sizes) == 1 and isinstance(sizes[0], tuple | list) and sizes[0] else (*sizes, None)[0]
    return isinstance(size, fx.Node) and is_number_of_edges(size)


def is_number_of_edges(size: fx.Node) -> bool:
    """Return whether a call reads the number of edges."""
    if size.target == "size":
        return is_edge_index(size.args[0]) and size.args[1:] in ((1,), (-1,))
    source = size.args[0] if is_item(size, 1) or is_item(size, -1) else None
    return isinstance(source, fx.Node) and is_shape(source) and is_edge_index(source.args[0])
