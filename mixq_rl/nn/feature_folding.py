"""Scaling of the features of a trained network, folded into its first products."""

import torch
from torch import Tensor

from mixq_rl.graph import Graph
from mixq_rl.nn.flow import Flow, recorded_flow
from mixq_rl.nn.linear import Linear
from mixq_rl.nn.model import QuantizableModel
from mixq_rl.nn.propagation import Propagate
from mixq_rl.quantization import FeatureScaling

__all__ = ["fold_feature_scaling"]


def fold_feature_scaling(model: QuantizableModel, x: Tensor, graph: Graph) -> None:
    """Give a network the scaling that its features need, and divide the rows of its first weights by the factors.

    The network computes the same: factors are powers of two. They are half way, on a logarithmic scale, between
    columns of equal magnitude and rows of the weights of equal magnitude, so that neither has entries below one step.
    Nothing changes for features in line, or if the input reaches something else than products, directly or through sums
    over neighbours, or if a later layer holds the same weights.

    Args:
        model: a network whose weights were trained on unscaled features; changed in place.
        x: its features, ``[nodes, columns]``.
        graph: its graph.
    """
    needed = FeatureScaling.fitted(x, shifts=False, typical=True)
    if needed is None or bool((needed.factor == needed.factor[0]).all()):
        return
    with recorded_flow(model) as flow:
        model.capture(x, graph)
    products, names = _first_products(flow, model.input.name)
    weights = {id(product.weight): product.weight for product in products}
    others = [operator for name, takers in flow.taken.items() if name not in names for operator in takers]
    if not weights or any(id(operator.weight) in weights for operator in others if isinstance(operator, Linear)):
        return
    rows = torch.stack([weight.detach().double().abs().amax(dim=1) for weight in weights.values()]).amax(dim=0)
    used = rows[rows > 0]
    ratio = torch.where(rows > 0, rows / (used.median() if used.numel() else 1.0), 1.0)
    scaling = needed.balanced(ratio)
    with torch.no_grad():
        for weight in weights.values():
            weight.div_(scaling.factor.to(weight.dtype).unsqueeze(1))
    model.scaling = scaling


def _first_products(flow: Flow, name: str) -> tuple[list[Linear], set[str]]:
    """Return the products that a component's columns reach, and the components that they take.

    There are no products if the columns reach something else than products and sums over neighbours.
    """
    found: list[Linear] = []
    names = {name}
    for operator in flow.taken.get(name, []):
        if isinstance(operator, Linear):
            found.append(operator)
            continue
        if not isinstance(operator, Propagate) or operator.bias is not None:
            return [], names
        products, reached = _first_products(flow, operator.aggregate_quantizer.name)
        if not products:
            return [], names
        found += products
        names |= reached
    return found, names
