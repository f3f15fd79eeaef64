"""Several graphs of a file, one after another."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mixq_rl.datasets.partial_splits import MASKS
from mixq_rl.errors import InvalidGraphError

__all__ = ["join_graphs", "join_slices"]

_PARTS = ("x", "edge_index")


def join_graphs(name: str, graphs: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return several graphs as one set of entries.

    If each graph has one row of ``y``, ``batch`` says the graph of each node, and graphs are classified. Otherwise the
    nodes of all graphs are classified, as those of one graph.

    Args:
        name: name of the file, for messages.
        graphs: entries of each graph; entries that not all have are left out.

    Raises:
        InvalidGraphError: if a graph lacks ``x`` or ``edge_index``, or entries of one name do not fit each other.
    """
    for number, graph in enumerate(graphs):
        for part in _PARTS:
            if part not in graph or graph[part].dim() != 2:
                raise InvalidGraphError(f"{name}: graph {number} of {len(graphs)} has no {part} of two dimensions")
    shared = [entry for entry in graphs[0] if entry != "batch" and all(entry in graph for graph in graphs)]
    joined = {
        entry: _joined(name, entry, [_rows(entry, graph[entry]) for graph in graphs])
        for entry in shared
        if _is_of_nodes(entry) or entry in ("y", "edge_index", "edge_weight", "edge_attr")
    }
    nodes = torch.tensor([len(graph["x"]) for graph in graphs])
    edges = torch.tensor([graph["edge_index"].shape[1] for graph in graphs])
    return _as_one(joined, nodes, edges, "y" in joined and len(joined["y"]) == len(graphs) != int(nodes.sum()))


def _joined(name: str, entry: str, parts: Sequence[Tensor]) -> Tensor:
    """Return an entry of all graphs.

    Raises:
        InvalidGraphError: if its widths or numbers of dimensions differ.
    """
    along = 1 if entry == "edge_index" else 0
    widths = [[size for dim, size in enumerate(part.shape) if dim != along] for part in parts]
    other = next((number for number, width in enumerate(widths) if width != widths[0]), None)
    if other is not None:
        shapes = f"{list(parts[0].shape)} in graph 0, {list(parts[other].shape)} in graph {other}"
        raise InvalidGraphError(f"{name}: the graphs have {entry} of different widths or dimensions: {shapes}")
    return torch.cat(list(parts), dim=along)


def join_slices(name: str, entries: dict[str, Tensor], slices: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the graphs of an in-memory dataset as one set of entries, as :func:`join_graphs` does.

    Args:
        name: name of the file, for messages.
        entries: the entries of all graphs one after another, with nodes numbered from 0 in each graph.
        slices: beginning of each graph in each entry, and the end of the last, int64 ``[graphs + 1]``.

    Raises:
        InvalidGraphError: if the slices do not fit the entries.
    """
    counts = {}
    for part, size in (("x", 0), ("edge_index", 1)):
        if part not in entries or entries[part].dim() != 2:
            return entries  # later checks name what is missing
        bounds = slices.get(part)
        if bounds is None or bounds.dim() != 1 or bounds.is_floating_point() or not bounds.numel():
            raise InvalidGraphError(f"{name}: the dataset does not say where its graphs begin in {part}")
        counts[part] = bounds.long().diff()
        end = entries[part].shape[size]
        if int(bounds[0]) != 0 or int(bounds[-1]) != end or bool((counts[part] < 0).any()):
            raise InvalidGraphError(f"{name}: the dataset's graphs do not begin and end within {part}")
    nodes, edges = counts["x"], counts["edge_index"]
    if nodes.numel() != edges.numel():
        raise InvalidGraphError(f"{name}: the dataset has {nodes.numel()} graphs in x, {edges.numel()} in edge_index")
    by_graph = "y" in entries and len(entries["y"]) == nodes.numel() != len(entries["x"])
    return _as_one(dict(entries), nodes, edges, by_graph)


def _as_one(entries: dict[str, Tensor], nodes: Tensor, edges: Tensor, by_graph: bool) -> dict[str, Tensor]:
    first = (nodes.cumsum(0) - nodes).repeat_interleave(edges)
    entries["edge_index"] = entries["edge_index"].long() + first
    if by_graph:
        entries["batch"] = torch.arange(nodes.numel()).repeat_interleave(nodes)
    return entries


def _rows(entry: str, tensor: Tensor) -> Tensor:
    return tensor.reshape(1) if entry == "y" and tensor.dim() == 0 else tensor


def _is_of_nodes(entry: str) -> bool:
    return entry == "x" or any(entry in names and entry.endswith("_mask") for names in MASKS.values())
