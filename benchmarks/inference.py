"""Whole networks: the two-layer GCN on integers against PyTorch Geometric's in float32."""

from typing import Any

import torch
import torch_geometric
from contestants import Contestant
from graphs import SHAPES, named_graph
from measuring import interleaved
from rivals import network_rivals
from torch import Tensor

from mixq_rl import kernels
from mixq_rl.graph import Graph
from mixq_rl.integer.model import IntegerModel
from mixq_rl.nn import build_network

__all__ = ["BITS", "HIDDEN", "float_networks", "integer_networks", "measure_inference", "network_inputs"]

HIDDEN = 128
BITS = (8, 4, 2, 1)


def measure_inference(name: str, seconds: float, device: str) -> dict[str, Any]:
    """Return milliseconds and ratios: of the network alone, with its features quantized on the way in, and of calls.

    The float networks have their normalisation cached. "call" is ``network(x, edge_index)`` with the same tensors each
    time, "first call" does the same for a graph that is not known: it is built and normalised.
    """
    x, edge_index = network_inputs(name, device)
    classes = SHAPES[name].classes
    contestants = float_networks(x, edge_index, classes)
    with torch.no_grad():
        if device == "cpu":
            contestants |= network_rivals(x, edge_index, lambda: float_network(x, classes))
        float_names = [name for name in contestants if "bfloat16" not in name]
        contestants |= integer_networks(x, edge_index, classes)
        times = interleaved(contestants, seconds, device)
    best = min(float_names, key=times.__getitem__)
    return {
        "milliseconds": {name: 1e3 * value for name, value in times.items()},
        "best_float": best,
        "ratio": {name: times[best] / value for name, value in times.items()},
    }


def network_inputs(name: str, device: str) -> tuple[Tensor, Tensor]:
    """Return features and ``edge_index`` of a shape's graph: bag-of-words features where there are many of them."""
    shape = SHAPES[name]
    rowptr, col = named_graph(name, device)
    row = torch.repeat_interleave(torch.arange(shape.nodes, device=col.device), rowptr.diff())
    x = torch.randn(shape.nodes, shape.features, device=device)
    return (x > 2.2).float() if shape.features > 1000 else x, torch.stack([col.long(), row])


def float_network(x: Tensor, classes: int, hidden: int = HIDDEN) -> torch.nn.Module:
    """Return PyTorch Geometric's GCN for features like ``x``, in their dtype, which normalises a graph once."""
    model = torch_geometric.nn.models.GCN(x.shape[1], hidden, 2, classes, cached=True)
    return model.to(x.device, x.dtype).eval()


def float_networks(x: Tensor, edge_index: Tensor, classes: int, hidden: int = HIDDEN) -> dict[str, Contestant]:
    """Return calls of PyTorch Geometric's GCN, in the dtype of ``x``, by the ways it takes a graph."""
    scatter, sparse, indexed = (float_network(x, classes, hidden) for _ in range(3))
    nodes = x.shape[0]
    order = torch.argsort(edge_index[1] * nodes + edge_index[0])
    source, target = edge_index[0, order], edge_index[1, order]
    rowptr = torch.cat([target.new_zeros(1), torch.bincount(target, minlength=nodes).cumsum(0)])
    value = torch.ones(source.numel(), device=x.device, dtype=x.dtype)
    matrix = torch.sparse_csr_tensor(rowptr, source, value, (nodes, nodes))
    index = torch_geometric.EdgeIndex(
        torch.stack([source, target]), sparse_size=(nodes, nodes), sort_order="col"
    ).fill_cache_()
    return {
        "PyG, edge_index": lambda: scatter(x, edge_index),
        "PyG, torch.sparse adjacency": lambda: sparse(x, matrix),
        "PyG, EdgeIndex": lambda: indexed(x, index),
    }


def integer_networks(x: Tensor, edge_index: Tensor, classes: int, hidden: int = HIDDEN) -> dict[str, Contestant]:
    """Return calls of the GCN on integers: on quantized inputs, with features quantized, and whole on a CPU."""
    model = build_network("gcn", x.shape[1], classes, hidden_channels=hidden).to(x.device)
    graph = Graph(edge_index, x.shape[0])
    model.calibrate(x, graph, BITS)
    contestants: dict[str, Contestant] = {}
    for bits in BITS:
        frozen = IntegerModel.freeze(model, [bits] * len(model.quantizers))
        features, adjacencies = frozen.quantize_features(x), frozen.quantize_graph(graph)
        contestants[f"{bits} bits"] = lambda frozen=frozen, features=features, adjacencies=adjacencies: frozen.execute(
            features, adjacencies
        )
        contestants[f"quantize and {bits} bits"] = lambda frozen=frozen, adjacencies=adjacencies: kernels.dequantize(
            frozen.execute(frozen.quantize_features(x), adjacencies), x.dtype
        )
        if x.is_cuda:
            continue
        contestants[f"call {bits} bits"] = lambda frozen=frozen: frozen(x, edge_index)
        contestants[f"first call {bits} bits"] = lambda frozen=frozen: kernels.dequantize(
            frozen.execute(frozen.quantize_features(x), frozen.quantize_graph(Graph(edge_index, x.shape[0]))), x.dtype
        )
    return contestants
