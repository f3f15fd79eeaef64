"""Training and evaluation of a traced model: what they have in common, and the dropout of training."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from torch import fx
from torch.nn import functional

from mixq_rl.nn.conversion.edges import RANDOM_FUNCTIONS, kept_whole

__all__ = ["always_on", "apply_dropout", "same_but_dropout"]

_DROPOUT = (functional.dropout, *RANDOM_FUNCTIONS)


def always_on(graph: fx.Graph) -> Iterator[str]:
    """Yield a description of each dropout that a graph of evaluation applies."""
    for node in graph.nodes:
        if node.target in _DROPOUT and _option(node, "training") is True and _option(node, "p") != 0:
            yield f"function {node.target.__name__!r} in the model's forward"


def apply_dropout(graph: fx.Graph) -> None:
    """Let a graph of evaluation apply its dropout."""
    for node in graph.nodes:
        if node.target in _DROPOUT:
            node.kwargs = {**node.kwargs, "training": True}


def same_but_dropout(graph: fx.Graph, other: fx.Graph) -> bool:
    """Return whether two graphs compute the same in evaluation, when neither drops anything."""
    known: dict[Any, int] = {}
    return _signature(graph, known) == _signature(other, known)


def _signature(graph: fx.Graph, known: dict[Any, int]) -> int:
    """Return a number that stands for what a graph computes, new in ``known`` for what is not known yet."""
    numbers: dict[fx.Node, int] = {}
    number = -1
    for node in graph.nodes:
        whole = node.args[0] if node.target is functional.dropout else kept_whole(node)
        if isinstance(whole, fx.Node):
            numbers[node] = numbers[whole]
            continue
        options = {key: value for key, value in node.kwargs.items() if key != "training"}
        args = repr(_numbered((node.args, options), numbers))
        number = known.setdefault((node.op, node.target, args), len(known))
        numbers[node] = number
    return number


def _numbered(value: Any, numbers: Mapping[fx.Node, int]) -> Any:
    """Return arguments of a call with numbers in place of the calls before."""
    if isinstance(value, fx.Node):
        return ("%", numbers[value])
    if isinstance(value, tuple | list):
        return [_numbered(part, numbers) for part in value]
    return {key: _numbered(part, numbers) for key, part in value.items()} if isinstance(value, dict) else value


def _option(node: fx.Node, name: str) -> Any:
    if node.target is functional.dropout and name in node.kwargs:
        return node.kwargs[name]
    bound = inspect.signature(node.target).bind(*node.args, **node.kwargs)  # type: ignore[arg-type]
    bound.apply_defaults()
    return bound.arguments.get(name)
