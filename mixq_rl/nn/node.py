"""Nodes of a network: layers and their sources."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from mixq_rl.nn.operator import Dropout

__all__ = ["INPUT", "Node", "consumers"]

INPUT = "x"
"""Name of a network's input among the sources of its nodes."""


@dataclass(frozen=True)
class Node:
    """Node of a network: a layer and its sources.

    Attributes:
        name: name of the node, unique in the network.
        layer: an :class:`~mixq_rl.nn.operator.Operator`, or a module that is called like one.
        sources: names of the nodes whose results the layer takes; :data:`INPUT` is the network's input.
    """

    name: str
    layer: nn.Module
    sources: tuple[str, ...]


def consumers(nodes: Sequence[Node], name: str) -> list[nn.Module]:
    """Return the layers that take a node's result, or the input; layers behind a dropout in place of the dropout."""
    found: list[nn.Module] = []
    for node in nodes:
        if name in node.sources:
            found += consumers(nodes, node.name) if isinstance(node.layer, Dropout) else [node.layer]
    return found
