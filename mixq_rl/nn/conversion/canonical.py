"""Canonical form of traced graphs: no calls without effect, no in-place operations, no unused results."""

import operator

import torch
from torch import fx, nn
from torch.nn import functional

from mixq_rl.nn.conversion.call import is_called

__all__ = ["ADD", "canonicalize", "is_add"]

ADD = (operator.add, operator.iadd, torch.add, "add", "add_")


def canonicalize(graph: fx.Graph, model: nn.Module) -> None:
    """Change a traced graph to the canonical form that converters expect."""
    _remove_identities(graph, model)
    _make_functional(graph, model)
    for node in reversed(list(graph.nodes)):
        if not node.users and node.op not in ("placeholder", "output"):
            graph.erase_node(node)


def is_add(node: fx.Node) -> bool:
    """Return whether a node adds two values."""
    return is_called(node, ADD) and len(node.args) == 2 and not node.kwargs


def _remove_identities(graph: fx.Graph, model: nn.Module) -> None:
    for node in list(graph.nodes):
        same = _same_as(node, model)
        if same is not None:
            node.replace_all_uses_with(same)


def _same_as(node: fx.Node, model: nn.Module) -> fx.Node | None:
    """Return the node whose value a node repeats unchanged, or None."""
    if is_add(node):  # sum() begins with 0 + first
        left, right = node.args
        if type(left) is int and left == 0 and isinstance(right, fx.Node):
            return right
        return left if type(right) is int and right == 0 and isinstance(left, fx.Node) else None
    if node.op == "call_module":
        module = model.get_submodule(str(node.target))
        repeats = type(module) is nn.Identity or (type(module) is nn.Dropout and getattr(module, "p", None) == 0)
    else:
        unchanged = is_called(node, (functional.dropout,)) and node.kwargs.get("p") == 0
        repeats = is_called(node, ("contiguous",)) or unchanged
    if not repeats or not node.args:
        return None
    first = node.args[0]
    return first if isinstance(first, fx.Node) else None


def _make_functional(graph: fx.Graph, model: nn.Module) -> None:
    """Replace in-place operations: later nodes use the result of the operation."""
    order = {node: index for index, node in enumerate(graph.nodes)}
    for node in list(graph.nodes):
        if node.args and isinstance(node.args[0], fx.Node) and _is_in_place(node, model):
            source, index = node.args[0], order[node]
            for user in [user for user in source.users if order[user] > index]:
                user.replace_input_with(source, node)


def _is_in_place(node: fx.Node, model: nn.Module) -> bool:
    if node.op == "call_module":
        return bool(getattr(model.get_submodule(str(node.target)), "inplace", False))
    if node.op not in ("call_function", "call_method"):
        return False
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    underscored = name.endswith("_") and not name.endswith("__")
    # F.relu(x, True): no argument of an activation other than inplace is a bool.
    flagged = any(argument is True for argument in (*node.args, node.kwargs.get("inplace")))
    return underscored or flagged or node.target is operator.iadd
