"""Integer networks of all layers, and what they are called with."""

import functools

import torch
from torch import Tensor

import mixq_rl
from mixq_rl.graph import Graph
from mixq_rl.nn.models import build_network, models
from tests.mixq_rl.nn.networks import FEATURES, calibrated, features, make_graph

MODELS = list(models)
MIXED_BITS = (4, 2, 8, 3, 8)

_CLASSES = 3


@functools.cache
def frozen(name: str, kind: str, bits: tuple[int, ...] = MIXED_BITS) -> mixq_rl.IntegerModel:
    """A network of such bits, over and over, whose edges have weights where it can use them."""
    weighted, pooled = models[name].takes_weights, kind == "graph"
    layers = 1 if pooled else 2
    network = build_network(
        name, FEATURES, _CLASSES, pooled=pooled, weighted=weighted, hidden_channels=8, num_layers=layers
    )
    graph = make_graph(graphs=4 if pooled else None, weighted=weighted)
    model = calibrated(network, features(graph), graph)
    return mixq_rl.IntegerModel.freeze(model, [bits[index % len(bits)] for index in range(len(model.quantizers))])


def arguments(model: mixq_rl.IntegerModel, graph: Graph, seed: int = 0) -> dict[str, Tensor]:
    """What a network is called with, by name."""
    given = {"x": features(graph, seed), "edge_index": graph.edge_index}
    if model.takes_edge_weight:
        draw = torch.Generator().manual_seed(seed)
        drawn = 0.1 + torch.rand(graph.edge_index.shape[1], generator=draw)
        given["edge_weight"] = drawn if graph.edge_weight is None else graph.edge_weight
    if model.classifies_graphs:
        given["batch"] = torch.zeros(graph.num_nodes, dtype=torch.int64) if graph.batch is None else graph.batch
    return given
