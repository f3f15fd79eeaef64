"""Components of a network, and their statistics."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor

from mixq_rl.graph import Graph
from mixq_rl.quantization import ComponentKind, LearnedQuantizer

__all__ = [
    "GRAPH_STATISTICS",
    "KINDS",
    "MAX_SQNR",
    "PROBE_BITS",
    "STATISTICS",
    "Component",
    "ComponentKind",
    "measure_graph",
    "measure_statistics",
]

KINDS: tuple[ComponentKind, ...] = get_args(ComponentKind)

PROBE_BITS = (1, 2, 4, 8)
MAX_SQNR = 100.0
STATISTICS = (
    "mean",
    "standard_deviation",
    "minimum",
    "maximum",
    "kurtosis",
    "sparsity",
    *(f"sqnr_{bits}" for bits in PROBE_BITS),
)
GRAPH_STATISTICS = ("nodes", "mean_degree", "degree_skew")


@dataclass(frozen=True)
class Component:
    """Component of a network: a part with a bit-width of its own.

    Attributes:
        name: name, such as ``"conv1.weight"``.
        kind: one of :data:`KINDS`.
        layer: index of the layer, from 0.
        shape: shape of the values; ``(edges,)`` for an adjacency.
        macs: number of multiply-accumulates with the component as an operand or as the result.
        statistics: floats by the names in :data:`STATISTICS`: moments (kurtosis is 3 for a normal distribution), share
            of zeros, and the signal-to-quantization-noise ratio in dB at each of :data:`PROBE_BITS`, clipped to
            -:data:`MAX_SQNR` ... :data:`MAX_SQNR` (an exact representation has the upper bound). The statistics of the
            graph, by the names in :data:`GRAPH_STATISTICS`, are optional: number of nodes (the mean, for several
            graphs), mean and skewness of the nodes' degrees.
    """

    name: str
    kind: ComponentKind
    layer: int
    shape: tuple[int, ...]
    macs: int
    statistics: Mapping[str, float]


def measure_statistics(x: Tensor, quantizer: LearnedQuantizer) -> dict[str, float]:
    """Return the statistics of a component's real values; ``quantizer`` quantizes them at each probe bit-width."""
    values = x.detach().double()
    if values.numel() == 0:
        return dict.fromkeys(STATISTICS, 0.0)
    mean = values.mean()
    deviation = values.std(unbiased=False)
    # The deviation of constant values is rounding noise. Their kurtosis is 0, not the quotient of two noises.
    spread_out = bool(deviation > 1e-12 * values.abs().max())
    statistics = {
        "mean": float(mean),
        "standard_deviation": float(deviation),
        "minimum": float(values.min()),
        "maximum": float(values.max()),
        "kurtosis": float(((values - mean) / deviation).pow(4).mean()) if spread_out else 0.0,
        "sparsity": float((values == 0).double().mean()),
    }
    for bits in PROBE_BITS:
        _, error = quantizer.fit(x, bits)
        ratio = MAX_SQNR if error == 0 else float(-10 * torch.log10(torch.tensor(error, dtype=torch.float64)))
        statistics[f"sqnr_{bits}"] = max(-MAX_SQNR, min(MAX_SQNR, ratio))
    return statistics


def measure_graph(graph: Graph) -> dict[str, float]:
    """Return the statistics of a graph, which complement those of a component."""
    degree = graph.edge_index[1].bincount(minlength=graph.num_nodes).double()
    if not degree.numel():
        return dict.fromkeys(GRAPH_STATISTICS, 0.0)
    centred = degree - degree.mean()
    variance = float(centred.square().mean())
    skew = float(centred.pow(3).mean()) / variance**1.5 if variance > 0 else 0.0
    return {
        "nodes": graph.num_nodes / max(graph.num_graphs, 1),
        "mean_degree": float(degree.mean()),
        "degree_skew": skew,
    }
