"""Two-layer GCNs on a GPU: on integers against PyTorch Geometric's in float32 and float16."""

from collections.abc import Callable
from typing import Any

import torch
import torch_geometric
from graphs import SHAPES, named_graph
from measuring import replayed
from torch import Tensor

from mixq_rl import IntegerModel
from mixq_rl.graph import Graph
from mixq_rl.nn import build_network

__all__ = ["measure_networks"]

BITS = (8, 4, 2)
# Messages of scatter and its copies must fit beside what else is measured.
SCATTER_LIMIT = 16 * 2**30
COMPILED = "arxiv"

Contestant = Callable[[], object]


def measure_networks(device: str, graphs: list[str], widths: tuple[int, ...], seconds: float) -> list[dict[str, Any]]:
    """Return an entry for each graph and hidden width."""
    return [_measure(device, name, width, seconds) for name in graphs for width in widths]


def _measure(device: str, name: str, hidden: int, seconds: float) -> dict[str, Any]:
    shape, (rowptr, col) = SHAPES[name], named_graph(name, device)
    nodes = rowptr.numel() - 1
    row = torch.repeat_interleave(torch.arange(nodes, device=device), rowptr.diff())
    edge_index = torch.stack([col.long(), row])
    x = torch.randn(nodes, shape.features, device=device)
    skipped: dict[str, str] = {}
    contestants: dict[str, Contestant] = {}
    dtypes = (torch.float32, torch.float16) if device == "cuda" else (torch.float32,)
    with torch.no_grad():
        for dtype in dtypes:
            for kind, call in _float_networks(x.to(dtype), edge_index, shape.classes, hidden, name).items():
                label = f"PyG {kind} {str(dtype).removeprefix('torch.')}"
                try:
                    call()
                    contestants[label] = call
                except (RuntimeError, TypeError, ValueError, NotImplementedError, torch.OutOfMemoryError) as error:
                    skipped[label] = str(error).splitlines()[0][:200]
        floats = list(contestants)
        contestants |= _integer_networks(x, edge_index, shape.classes, hidden)
        times = replayed(contestants, seconds, device, least=3)
    best32 = min((label for label in floats if label.endswith("float32")), key=times.__getitem__)
    best = min(floats, key=times.__getitem__)
    entry = {
        "graph": name,
        "hidden": hidden,
        "milliseconds": {label: 1e3 * value for label, value in times.items()},
        "skipped": skipped,
        "best_float": best,
        "best_float32": best32,
        "ratio": {
            what: {label: times[against] / times[label] for label in times if label not in floats}
            for what, against in (("best_float", best), ("best_float32", best32))
        },
    }
    shown = ", ".join(f"{label} {1e3 * value:.3f}" for label, value in times.items())
    print(f"network, {name}, hidden {hidden}: {shown} ms", flush=True)
    return entry


def _float_networks(x: Tensor, edge_index: Tensor, classes: int, hidden: int, name: str) -> dict[str, Contestant]:
    def network() -> torch.nn.Module:
        model = torch_geometric.nn.models.GCN(x.shape[1], hidden, 2, classes, cached=True)
        return model.to(x.device, x.dtype).eval()

    nodes = x.shape[0]
    order = torch.argsort(edge_index[1] * nodes + edge_index[0])
    source, target = edge_index[0, order], edge_index[1, order]
    rowptr = torch.cat([target.new_zeros(1), torch.bincount(target, minlength=nodes).cumsum(0)])
    value = torch.ones(source.numel(), device=x.device, dtype=x.dtype)
    matrix = torch.sparse_csr_tensor(rowptr, source, value, (nodes, nodes))
    index = torch_geometric.EdgeIndex(
        torch.stack([source, target]), sparse_size=(nodes, nodes), sort_order="col"
    ).fill_cache_()
    sparse, indexed, scatter = network(), network(), network()
    found: dict[str, Contestant] = {
        "torch.sparse": lambda: sparse(x, matrix),
        "EdgeIndex": lambda: indexed(x, index),
    }
    if 3 * edge_index.shape[1] * hidden * x.element_size() < SCATTER_LIMIT:
        found["edge_index"] = lambda: scatter(x, edge_index)
    if name == COMPILED and x.is_cuda:
        compiled = torch.compile(network(), dynamic=False)
        found["compiled, torch.sparse"] = lambda: compiled(x, matrix)
    return found


def _integer_networks(x: Tensor, edge_index: Tensor, classes: int, hidden: int) -> dict[str, Contestant]:
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
        contestants[f"quantize and {bits} bits"] = lambda frozen=frozen, adjacencies=adjacencies: frozen.execute(
            frozen.quantize_features(x), adjacencies
        )
    return contestants
