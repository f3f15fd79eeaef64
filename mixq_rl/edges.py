"""Edges: their check, and their order in a CSR matrix, by C++ for tensors of the CPU and by torch for all others."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from mixq_rl.conditions import require
from mixq_rl.errors import InvalidGraphError
from mixq_rl.extents import check_held
from mixq_rl.native import address, extension, readable
from mixq_rl.sparse import CSR, check_entries

__all__ = [
    "CHANGED",
    "SortedEdges",
    "check_degree",
    "check_edge_index",
    "gather",
    "inverse_root",
    "nodes_of",
    "row_sums",
    "scaled_entries",
    "sort_edges",
    "sort_edges_by_torch",
    "sort_nodes",
    "sort_nodes_by_torch",
]

CHANGED = "the graph was written to during the call, and was wrong in between"
_INDICES = 2**31


class SortedEdges(NamedTuple):
    """Edges by target, then by source, then in their order; a self-loop that was added is behind its like.

    Attributes:
        csr: the sparsity pattern: a row for each target, a column for each source.
        weight: float64 ``[entries]``; None: all 1.
        loops: indices of the entries that are added self-loops, int64.
    """

    csr: CSR
    weight: Tensor | None
    loops: Tensor


def nodes_of(edge_index: Tensor) -> list[Any]:
    """Return the rows of an ``edge_index``, or the only row of another tensor of integers, for the extension.

    Raises:
        InputError: if the tensor's storage was resized and does not hold it.
    """
    check_held((("edge_index", edge_index),))
    rows = edge_index if edge_index.dim() == 2 else edge_index.unsqueeze(0)
    first, step, stride = rows.data_ptr(), rows.stride(0) * rows.element_size(), rows.stride(1)
    is_wide = rows.dtype == torch.int64
    return [extension().Nodes(first + row * step, stride, is_wide) for row in range(rows.shape[0])]


def check_edge_index(edge_index: Tensor, num_nodes: int) -> None:
    """Check shape, dtype and range of ``edge_index``.

    Raises:
        InvalidGraphError: if it is not an integer ``[2, edges]`` tensor of existing nodes.
    """
    if edge_index.dim() != 2 or edge_index.shape[0] != 2 or edge_index.dtype not in (torch.int64, torch.int32):
        raise InvalidGraphError(
            f"edge_index must be integers of shape [2, edges], not {edge_index.dtype} of shape {list(edge_index.shape)}"
            + (": transpose it" if edge_index.dim() == 2 and edge_index.shape[1] == 2 else "")
        )

    def error() -> InvalidGraphError:
        low, high = int(edge_index.min()), int(edge_index.max())
        return InvalidGraphError(
            f"edge_index names node {low if low < 0 else high}, but the graph has nodes 0...{num_nodes - 1}: "
            f"x must have a row for every node"
        )

    require(_exist(edge_index, num_nodes), "edge_index names a node that x has no row for", error)


def _exist(edge_index: Tensor, num_nodes: int) -> Tensor | bool:
    if readable(edge_index) and num_nodes < _INDICES:
        found: bool = extension().exist(_edge_list(edge_index, None, num_nodes), torch.get_num_threads())
        return found
    return ((edge_index >= 0) & (edge_index < num_nodes)).all()


def sort_edges(
    edge_index: Tensor, num_nodes: int, weight: Tensor | None, self_loops: str, loop_weight: float
) -> SortedEdges:
    """Sort the edges of a graph, and add self-loops.

    Args:
        edge_index: int64 or int32 ``[2, edges]``, sources and targets, which were checked.
        num_nodes: number of nodes.
        weight: floating point ``[edges]``, or None: all 1, those of self-loops too.
        self_loops: treatment of self-loops; see :class:`~mixq_rl.propagation.Propagation`.
        loop_weight: weight of the added self-loops.

    Raises:
        InvalidGraphError: for more edges than fit 32-bit indices, or edges that were written to after their check.
    """
    most = edge_index.shape[1] + num_nodes
    if not readable(edge_index, weight) or most >= _INDICES:  # in this order: torch may trace numbers too
        return sort_edges_by_torch(edge_index, num_nodes, weight, self_loops, loop_weight)
    native, added, replacing = extension(), self_loops != "keep", self_loops in ("replace", "remaining")
    entries = most if added else edge_index.shape[1]
    given = None if weight is None else weight.double().contiguous()
    rowptr, col = _new(num_nodes + 1, torch.int32), _new(entries, torch.int32)
    sorted_weight = None if given is None else _new(entries, torch.float64)
    loops = _new(num_nodes if added else 0, torch.int64)
    own = None if given is None else _new(num_nodes, torch.float64).fill_(loop_weight)
    found = native.sort_edges(
        _edge_list(edge_index, given, num_nodes),
        native.Loops(added, replacing, address(own), own is not None and self_loops == "remaining"),
        native.Sorted(address(rowptr), address(col), address(sorted_weight), address(loops)),
        torch.get_num_threads(),
    )
    if found is None:
        check_edge_index(edge_index, num_nodes)
        raise InvalidGraphError(CHANGED)
    if sorted_weight is not None:
        sorted_weight.resize_(found)
    return SortedEdges(CSR(rowptr, col.resize_(found), num_nodes), sorted_weight, loops)


def _edge_list(edge_index: Tensor, weight: Tensor | None, num_nodes: int) -> Any:
    check_held((("edge_weight", weight),))
    source, target = nodes_of(edge_index)
    return extension().EdgeList(source, target, address(weight), edge_index.shape[1], num_nodes, num_nodes)


def sort_edges_by_torch(
    edge_index: Tensor, num_nodes: int, weight: Tensor | None, self_loops: str, loop_weight: float
) -> SortedEdges:
    """Do the same as :func:`sort_edges` in torch, on any device."""
    source, target = edge_index.long()
    weighted = weight is not None
    entries = source.new_ones(source.shape, dtype=torch.float64) if weight is None else weight.double()
    edges = _with_loops(source, target, entries, num_nodes, self_loops, loop_weight if weighted else 1.0)
    source, target, entries, is_loop = edges
    # Keys of a stable sort; with fewer than 2^31 nodes they fit into int64.
    order = torch.argsort(target * num_nodes + source, stable=True)
    csr = _csr(target[order], num_nodes, source[order], num_nodes)
    return SortedEdges(csr, entries[order] if weighted else None, is_loop[order].nonzero()[:, 0])


def sort_nodes(batch: Tensor, num_graphs: int) -> CSR | None:
    """Return the nodes of each graph, which are the columns of its row, in ascending order.

    Args:
        batch: int64 ``[nodes]``, graph of each node.
        num_graphs: number of graphs.

    Returns:
        None for a graph that does not exist, or for a batch that was written to in the meantime.
    """
    nodes = batch.numel()
    if not readable(batch) or nodes + num_graphs >= _INDICES:
        return sort_nodes_by_torch(batch, num_graphs)
    native, (graphs,) = extension(), nodes_of(batch)
    rowptr, col = _new(num_graphs + 1, torch.int32), _new(nodes, torch.int32)
    found = native.sort_edges(
        native.EdgeList(native.Nodes(0, 1, False), graphs, 0, nodes, nodes, num_graphs),
        native.Loops(False, False, 0, False),
        native.Sorted(address(rowptr), address(col), 0, 0),
        torch.get_num_threads(),
    )
    return None if found is None else CSR(rowptr, col, nodes)


def sort_nodes_by_torch(batch: Tensor, num_graphs: int) -> CSR:
    """Do the same as :func:`sort_nodes` in torch, on any device."""
    order = torch.argsort(batch, stable=True)
    return _csr(batch[order], num_graphs, order, batch.numel())


def row_sums(edges: SortedEdges) -> Tensor:
    """Return the sum of each row's weights, float64 ``[rows]``, added from the first entry to the last.

    A GPU has no fixed order, so that a CPU adds there too.
    """
    csr, weight = edges.csr, edges.weight
    assert weight is not None
    if readable(csr.rowptr, weight):
        sums = _new(csr.num_rows, torch.float64)
        extension().sum_rows(address(csr.rowptr), csr.num_rows, address(weight), address(sums))
        return sums
    sums = torch.zeros(csr.num_rows, dtype=torch.float64)
    return sums.index_add(0, csr.row.cpu(), weight.cpu()).to(weight.device)


def scaled_entries(edges: SortedEdges, factor: Tensor) -> Tensor:
    """Return the weights times the factors of source and target, float64 ``[entries]``.

    Args:
        edges: a result of :func:`sort_edges` that nobody else knows yet.
        factor: float64 ``[nodes]``, those of all columns, and from the node of the first row on those of the rows.
    """
    csr, weight = edges.csr, edges.weight
    if readable(csr.rowptr, weight, factor):
        scaled, factor = _new(csr.col.numel(), torch.float64), factor.contiguous()
        pattern = address(csr.rowptr), csr.num_rows, address(csr.col)
        extension().scale_entries(*pattern, address(weight), address(factor), csr.first_row, address(scaled))
        return scaled
    of_source, of_target = factor[csr.col.long()], factor[csr.target]
    return of_source * of_target if weight is None else of_source * weight * of_target


def gather(table: Tensor, col: Tensor) -> Tensor:
    """Return ``table[col]``.

    Args:
        table: ``[columns]``.
        col: int32 ``[entries]``.
    """
    if not readable(table, col) or table.element_size() != 1 or table.numel() >= _INDICES:
        return table.index_select(0, col)
    table, out = table.contiguous(), _new(col.numel(), table.dtype)
    check_held((("table", table),))
    (columns,) = nodes_of(col)
    shape = address(table), table.numel(), columns, col.numel(), address(out), torch.get_num_threads()
    if not extension().gather(*shape):
        raise InvalidGraphError(CHANGED)
    return out


def _new(entries: int, dtype: torch.dtype) -> Tensor:
    return torch.empty(entries, dtype=dtype, device="cpu")


def _csr(target: Tensor, num_rows: int, source: Tensor, num_columns: int) -> CSR:
    """Return the sparsity pattern of edges that are sorted by target."""
    check_entries(source.numel())
    rowptr = torch.searchsorted(target, torch.arange(num_rows + 1, device=target.device), out_int32=True)
    return CSR(rowptr, source.to(torch.int32), num_columns)


def _with_loops(
    source: Tensor, target: Tensor, weight: Tensor, num_nodes: int, self_loops: str, loop_weight: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return sources, targets, weights, and whether each edge is an added self-loop."""
    if self_loops == "keep":
        return source, target, weight, torch.zeros_like(source, dtype=torch.bool)
    nodes = torch.arange(num_nodes, device=source.device)
    loops = torch.full((num_nodes,), loop_weight, dtype=torch.float64, device=source.device)
    if self_loops != "add":
        is_own = source == target
        own, others = is_own.nonzero()[:, 0], (~is_own).nonzero()[:, 0]
        if self_loops == "remaining":
            loops[source[own]] = weight[own]
        source, target, weight = source[others], target[others], weight[others]
    is_loop = torch.cat([torch.zeros_like(source, dtype=torch.bool), torch.ones_like(nodes, dtype=torch.bool)])
    return torch.cat([source, nodes]), torch.cat([target, nodes]), torch.cat([weight, loops]), is_loop


def inverse_root(degree: Tensor) -> Tensor:
    """Return 1 over the square root, with both results rounded to the nearest, equal bit by bit on every device.

    On a CPU torch's ``rsqrt`` rounds this way, but ``sqrt``, which MKL computes, does not. On a GPU ``sqrt`` does, but
    ``rsqrt`` does not.
    """
    return degree.sqrt().reciprocal() if degree.is_cuda else degree.rsqrt()


def check_degree(degree: Tensor, layer: str = "", first_node: int = 0) -> None:
    """Check the sums of the weights of the edges into each node, of which roots are taken.

    Args:
        degree: the sums, float64 ``[nodes]``.
        layer: name of the layer, for the message; empty: there is none.
        first_node: number of the first node.

    Raises:
        InvalidGraphError: for a sum below 0.
    """
    of_layer = f"layer {layer!r}: " if layer else ""
    remedy = (
        "normalisation by degree has no value there: give weights that are not negative, leave them out, "
        "or take a layer without this normalisation (the model tag, or normalize=False)"
    )

    def error() -> InvalidGraphError:
        node = int(degree.argmin())
        total = f"the weights of the edges into node {first_node + node} add up to {float(degree[node]):.4g}"
        return InvalidGraphError(f"{of_layer}{total}, and {remedy}")

    reason = f"{of_layer}the weights of the edges into a node add up to less than 0, and {remedy}"
    require((degree >= 0).all(), reason, error)
