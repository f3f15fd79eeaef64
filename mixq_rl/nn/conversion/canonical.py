"""Canonical form of traced graphs: no calls without effect, no in-place operations, no unused results."""

import operator

import torch
from torch import fx, nn
from torch.nn import functional

from mixq_rl.nn.conversion.call import is_called

__all__ = ["ADD", "canonicalize", "final_probabilities"]

ADD = (operator.add, operator.iadd, torch.add, "add", "add_")
_SOFTMAX = (
    *(functional.softmax, functional.log_softmax, torch.softmax, torch.log_softmax),
    *("softmax", "log_softmax"),
)
_SIGMOID = (functional.sigmoid, torch.sigmoid, "sigmoid", "sigmoid_")

_UNCHANGED = ("contiguous", "clone", torch.clone, "cpu", "cuda", "float")


def canonicalize(graph: fx.Graph, model: nn.Module) -> None:
    """Change a traced graph to the canonical form that converters expect."""
    _make_functional(graph, model)
    _remove_identities(graph, model)
    for node in reversed(list(graph.nodes)):
        if not node.users and node.op not in ("placeholder", "output"):
            graph.erase_node(node)


def final_probabilities(graph: fx.Graph, model: nn.Module, *, multi_label: bool) -> fx.Node | None:
    """Return the call that makes a model's result probabilities, or None: a softmax of each row, or a sigmoid.

    Args:
        graph: the traced graph of the model.
        model: the model.
        multi_label: whether each row has several labels, whose probabilities are sigmoids of the logits.
    """
    last = next(node for node in reversed(graph.nodes) if node.op == "output").args[0]
    if not isinstance(last, fx.Node) or not last.args or not isinstance(last.args[0], fx.Node):
        return None
    if last.op == "call_module":
        module = model.get_submodule(str(last.target))
        if multi_label:
            return last if type(module) is nn.Sigmoid else None
        return last if type(module) in (nn.Softmax, nn.LogSoftmax) and module.dim in (None, 1, -1) else None
    if multi_label:
        return last if is_called(last, _SIGMOID) else None
    dim = last.kwargs.get("dim", last.args[1] if len(last.args) > 1 else None)
    return last if is_called(last, _SOFTMAX) and dim in (None, 1, -1) else None


def _remove_identities(graph: fx.Graph, model: nn.Module) -> None:
    for node in list(graph.nodes):
        same = _same_as(node, model)
        if same is not None:
            node.replace_all_uses_with(same)


def _same_as(node: fx.Node, model: nn.Module) -> fx.Node | None:
    """Return the node whose value a node repeats unchanged, or None."""
    if is_called(node, ADD) and len(node.args) == 2 and not node.kwargs:  # sum() begins with 0 + first
        left, right = node.args
        if type(left) is int and left == 0 and isinstance(right, fx.Node):
            return right
        return left if type(right) is int and right == 0 and isinstance(left, fx.Node) else None
    if node.op == "call_module":
        module = model.get_submodule(str(node.target))
        repeats = type(module) is nn.Identity or (type(module) is nn.Dropout and getattr(module, "p", None) == 0)
    else:
        options = node.kwargs
        unchanged = is_called(node, (functional.dropout,)) and (options.get("p") == 0 or not options.get("training"))
        repeats = is_called(node, _UNCHANGED) or unchanged or _is_cast(node)
    if not repeats or not node.args:
        return None
    first = node.args[0]
    return first if isinstance(first, fx.Node) else None


def _is_cast(node: fx.Node) -> bool:
    """Return whether a call moves a value, converts it to float32, or detaches an input, which changes no number."""
    if is_called(node, ("detach", torch.Tensor.detach)):
        return isinstance(node.args[0], fx.Node) and node.args[0].op == "placeholder"
    wanted = {value for value in (*node.args[1:], *node.kwargs.values()) if isinstance(value, torch.dtype)}
    if is_called(node, ("long",)) or wanted == {torch.int64}:
        source = node.args[0]
        return isinstance(source, fx.Node) and source.target in ("edge_index", "batch") and source.op == "placeholder"
    return is_called(node, ("to", "type")) and wanted <= {torch.float32}


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
