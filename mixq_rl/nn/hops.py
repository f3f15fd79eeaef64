"""Hops of a network: how far away the nodes are that an output depends on."""

from typing import Any

import torch

from mixq_rl.graph import Graph
from mixq_rl.nn.model import QuantizableModel
from mixq_rl.nn.operator import Operator, Real
from mixq_rl.nn.propagation import Propagate

__all__ = ["count_hops", "sums_neighbours"]


def count_hops(model: QuantizableModel, num_features: int) -> int:
    """Return the greatest number of propagations, sums or maxima over neighbours, on a path from input to output.

    Args:
        model: the network, which is executed on a graph of two nodes.
        num_features: number of features of a node.
    """
    parameter = next(model.parameters(), None)
    device = None if parameter is None else parameter.device
    hops: dict[int, int] = {}
    values: list[Any] = []  # keeps them alive, so that no identity is used twice

    def record(operator: Any, inputs: tuple[Any, ...], result: Any) -> None:
        before = max((hops.get(id(x.values), 0) for x in inputs if isinstance(x, Real)), default=0)
        propagation = getattr(operator, "propagation", None)
        if isinstance(result, Real):
            values.append(result.values)
            after = before + (propagation is not None and not propagation.pooled)
            hops[id(result.values)] = max(hops.get(id(result.values), 0), after)

    handles = [module.register_forward_hook(record) for module in model.modules() if isinstance(module, Operator)]
    try:
        with model.evaluating(), model.allocated(None):
            edges = torch.tensor([[0, 1], [1, 0]], device=device)
            model(torch.zeros(2, num_features, device=device), Graph(edges, 2))
    finally:
        for handle in handles:
            handle.remove()
    return max(hops.values(), default=0)


def sums_neighbours(model: QuantizableModel) -> bool:
    """Return whether some layer sums over neighbours so that its values grow with the degree."""
    propagations = [module.propagation for module in model.modules() if isinstance(module, Propagate)]
    return any(each.normalization in ("none", "root") and not each.pooled for each in propagations)
