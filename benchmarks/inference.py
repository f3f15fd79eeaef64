"""Whole networks: the two-layer GCN on integers against PyTorch Geometric's in float32."""

from collections.abc import Callable
from typing import Any

import torch
import torch_geometric
from graphs import SHAPES, power_law_graph
from measuring import interleaved
from torch import Tensor

from mixq_rl.graph import Graph
from mixq_rl.integer_model import IntegerModel
from mixq_rl.nn import build_network

__all__ = ["HIDDEN", "measure_inference"]

HIDDEN = 128
BITS = (8, 4, 2)


def measure_inference(name: str, seconds: float, device: str) -> dict[str, Any]:
    """Return milliseconds and ratios: of the network alone, and with its features quantized on the way in."""
    shape = SHAPES[name]
    rowptr, col = power_law_graph(shape, seed=0)
    row = torch.repeat_interleave(torch.arange(shape.nodes), rowptr.diff())
    edge_index = torch.stack([col.long(), row]).to(device)
    # Bag-of-words features where there are many, as in the graph of that shape; real ones elsewhere.
    x = torch.randn(shape.nodes, shape.features, device=device)
    x = (x > 2.2).float() if shape.features > 1000 else x
    contestants = _float_networks(x, edge_index, shape.classes)
    float_names = list(contestants)
    with torch.no_grad():
        contestants |= _integer_networks(x, edge_index, shape.classes)
        times = interleaved(contestants, seconds, device)
    best = min(float_names, key=times.__getitem__)
    return {
        "milliseconds": {name: 1e3 * value for name, value in times.items()},
        "best_float": best,
        "ratio": {name: times[best] / value for name, value in times.items()},
    }


def _float_networks(x: Tensor, edge_index: Tensor, classes: int) -> dict[str, Callable[[], object]]:
    def network() -> torch.nn.Module:
        model = torch_geometric.nn.models.GCN(x.shape[1], HIDDEN, 2, classes, cached=True)
        return model.to(x.device).eval()

    scatter, sparse, indexed = network(), network(), network()
    nodes = x.shape[0]
    order = torch.argsort(edge_index[1] * nodes + edge_index[0])
    source, target = edge_index[0, order], edge_index[1, order]
    rowptr = torch.cat([target.new_zeros(1), torch.bincount(target, minlength=nodes).cumsum(0)])
    value = torch.ones(source.numel(), device=x.device)
    matrix = torch.sparse_csr_tensor(rowptr, source, value, (nodes, nodes))
    index = torch_geometric.EdgeIndex(
        torch.stack([source, target]), sparse_size=(nodes, nodes), sort_order="col"
    ).fill_cache_()
    return {
        "PyG, edge_index": lambda: scatter(x, edge_index),
        "PyG, torch.sparse adjacency": lambda: sparse(x, matrix),
        "PyG, EdgeIndex": lambda: indexed(x, index),
    }


def _integer_networks(x: Tensor, edge_index: Tensor, classes: int) -> dict[str, Callable[[], object]]:
    model = build_network("gcn", x.shape[1], classes, hidden_channels=HIDDEN).to(x.device)
    graph = Graph(edge_index, x.shape[0])
    model.calibrate(x, graph, BITS)
    contestants: dict[str, Callable[[], object]] = {}
    for bits in BITS:
        frozen = IntegerModel.freeze(model, [bits] * len(model.quantizers))
        features, adjacencies = frozen.quantize_features(x), frozen.quantize_graph(graph)
        contestants[f"{bits} bits"] = lambda frozen=frozen, features=features, adjacencies=adjacencies: frozen.execute(
            features, adjacencies
        )
        contestants[f"quantize and {bits} bits"] = lambda frozen=frozen, adjacencies=adjacencies: frozen.execute(
            frozen.quantize_features(x), adjacencies
        ).dequantize()
    return contestants
