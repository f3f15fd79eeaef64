"""Power-law graphs with the sizes of common benchmark graphs."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

__all__ = ["SHAPES", "Shape", "named_graph", "power_law_graph"]

_EXPONENT = 2.5


@dataclass(frozen=True)
class Shape:
    """Nodes, entries of the adjacency (self-loops included), features, classes, neighbours of the greatest hub."""

    nodes: int
    entries: int
    features: int
    classes: int
    hub: int


SHAPES = {
    "cora": Shape(2_708, 10_556 + 2_708, 1_433, 7, 168),
    "pubmed": Shape(19_717, 88_648 + 19_717, 500, 3, 171),
    "arxiv": Shape(169_343, 2_315_598 + 169_343, 128, 40, 13_161),
    "products": Shape(1_000_000, 50_000_000, 100, 47, 17_481),
}


def power_law_graph(shape: Shape, seed: int) -> tuple[Tensor, Tensor]:
    """Return ``rowptr`` and ``col`` (int32, CSR) of a random graph, columns ascending within a row.

    Both ends of an edge are drawn in proportion to weights that follow a Pareto law, so that degrees fall off with
    exponent 2.5, up to about those of the real graph's greatest hub; nodes are in random order, so that no locality
    helps. Every node has a self-loop.
    """
    draw = np.random.default_rng(seed)
    weights = (1 - draw.random(shape.nodes)) ** (-1 / (_EXPONENT - 1))
    for _ in range(20):  # what hubs lose goes to the others, some of which it makes hubs
        weights = np.minimum(weights, shape.hub / (shape.entries - shape.nodes) * weights.sum())
    edges = np.cumsum(weights / weights.sum())
    ends = [
        np.minimum(np.searchsorted(edges, draw.random(shape.entries - shape.nodes)), shape.nodes - 1) for _ in range(2)
    ]
    loops = np.arange(shape.nodes)
    keys = np.concatenate([ends[0], loops]) * shape.nodes + np.concatenate([ends[1], loops])
    keys.sort()
    counts = np.bincount(keys // shape.nodes, minlength=shape.nodes)
    rowptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return torch.from_numpy(rowptr), torch.from_numpy((keys % shape.nodes).astype(np.int32))


def named_graph(name: str, device: str, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return :func:`power_law_graph` of a shape by its name, on a device; it is made once a process.

    Fifty million edges take a CPU ten seconds to sort: a GPU draws its own graph, by the same rule.
    """
    key = (name, device, seed)
    if key not in _made:
        make = power_law_graph if device == "cpu" else _drawn_on_gpu
        _made[key] = make(SHAPES[name], seed)
    return _made[key]


_made: dict[tuple[str, str, int], tuple[Tensor, Tensor]] = {}


def _drawn_on_gpu(shape: Shape, seed: int, device: str = "cuda") -> tuple[Tensor, Tensor]:
    draw = torch.Generator(device).manual_seed(seed)
    options = {"dtype": torch.float64, "device": device, "generator": draw}
    weights = (1 - torch.rand(shape.nodes, **options)) ** (-1 / (_EXPONENT - 1))
    for _ in range(20):
        weights = weights.clamp(max=shape.hub / (shape.entries - shape.nodes) * float(weights.sum()))
    edges = (weights / weights.sum()).cumsum(0)
    source, target = (
        torch.searchsorted(edges, torch.rand(shape.entries - shape.nodes, **options)).clamp(max=shape.nodes - 1)
        for _ in range(2)
    )
    loops = torch.arange(shape.nodes, device=device)
    keys = torch.cat([source * shape.nodes + target, loops * shape.nodes + loops]).sort().values
    rowptr = torch.searchsorted(keys, torch.arange(shape.nodes + 1, device=device) * shape.nodes, out_int32=True)
    return rowptr, (keys % shape.nodes).to(torch.int32)
