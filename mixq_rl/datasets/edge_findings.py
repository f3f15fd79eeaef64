"""Findings about the edges of a graph."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from mixq_rl.datasets.finding import Finding
from mixq_rl.edges import check_edge_index, sort_edges
from mixq_rl.errors import InvalidGraphError
from mixq_rl.quantization import IntegerRange
from mixq_rl.sparse import CSR

__all__ = ["NO_EDGES", "ONLY_LOOPS", "edge_findings"]

NO_EDGES = Finding("edges", "there are no edges", "message passing has nothing to sum", matters=True)
"""Finding about a graph without edges."""

ONLY_LOOPS = Finding(
    "edges", "all edges are self-loops", "message passing sums each node alone, as if there were no edges", matters=True
)
"""Finding about a graph whose edges join no two nodes."""

_LARGEST_SUM = 2**31 - 1
_WIDE = 1000


def edge_findings(
    edge_index: Tensor, num_nodes: int, edge_weight: Tensor | None, bits: Sequence[int]
) -> Iterator[Finding]:
    """Yield findings about edges, which may be wrong.

    Args:
        edge_index: sources and targets, ``[2, edges]``.
        num_nodes: number of nodes.
        edge_weight: weights, ``[edges]``, or None.
        bits: bit-widths on offer.
    """
    try:
        check_edge_index(edge_index, num_nodes)
    except InvalidGraphError as error:
        yield Finding("edges", str(error), "such a graph is refused", matters=True)
        return
    count = edge_index.shape[1]
    if not count:
        yield NO_EDGES
        return
    csr = sort_edges(edge_index, num_nodes, None, "keep", 1.0).csr
    incoming = csr.rowptr.diff().long()
    source, target = edge_index[0].long(), edge_index[1].long()
    outgoing = torch.bincount(source, minlength=num_nodes)
    back = sort_edges(edge_index.flip(0), num_nodes, None, "keep", 1.0).csr
    is_symmetric = torch.equal(csr.rowptr, back.rowptr) and torch.equal(csr.col, back.col)
    form = "each in both directions" if is_symmetric else "in one direction at least partly"
    yield Finding("edges", f"{count:,} edges, {form}, {count / num_nodes:.1f} for each node")
    if bool((source == target).all()):
        yield ONLY_LOOPS
    if not is_symmetric and (deaf := int(((incoming == 0) & (outgoing > 0)).sum())):
        yield Finding(
            "direction",
            f"{deaf:,} nodes have edges, but receive none",
            "messages go from source to target; to_undirected adds the other direction, if it is meant",
            matters=deaf > num_nodes // 2,
        )
    yield from _repeated(csr, int((source == target).sum()), num_nodes)
    if alone := int(((incoming == 0) & (outgoing == 0)).sum()):
        yield Finding(
            "isolated nodes",
            f"{alone:,} of {num_nodes:,} nodes have no edge",
            "only their own features count; their sums are 0 in sage without a root weight",
            matters=alone > num_nodes // 10,
        )
    yield _hub(incoming, bits)
    if edge_weight is not None:
        yield from _weights(edge_weight)


def _repeated(csr: CSR, loops: int, num_nodes: int) -> Iterator[Finding]:
    """Yield findings about edges that are there more than once, and about self-loops."""
    is_again = csr.col[1:] == csr.col[:-1]
    starts = csr.rowptr[1:-1].long()
    starts = starts[(starts > 0) & (starts < csr.col.numel())]
    is_again[starts - 1] = False
    if again := int(is_again.sum()):
        yield Finding(
            "duplicates",
            f"{again:,} edges are there more than once",
            "each is summed again, and its bit operations are paid again; coalesce() joins them",
            matters=True,
        )
    if loops:
        meaning = "gcn adds one where a node has none, and keeps these"
        yield Finding("self-loops", f"{loops:,} for {num_nodes:,} nodes", meaning)


def _hub(incoming: Tensor, bits: Sequence[int]) -> Finding:
    degree, node = int(incoming.max()), int(incoming.argmax())
    found = f"node {node} has the most neighbours, {degree:,}"
    highest = max(bits)
    most = _most_neighbours(highest, highest)
    if degree < most:  # one less, for the self-loop
        return Finding("hubs", found, f"sums of {highest} bits times {highest} bits fit int32 up to {most:,}")
    fitting = [other for other in bits if degree < _most_neighbours(highest, other)]
    rest = f"{highest} bits times {max(fitting)} bits fit" if fitting else "offer fewer bits, or sample neighbours"
    return Finding(
        "hubs",
        found,
        f"its sum of {highest} bits times {highest} bits may pass int32, which holds {most:,} such neighbours; {rest}",
        matters=True,
    )


def _most_neighbours(one: int, other: int) -> int:
    magnitudes = [IntegerRange(bits, signed=False).maximum for bits in (one, other)]
    return _LARGEST_SUM // (magnitudes[0] * magnitudes[1])


def _weights(weight: Tensor) -> Iterator[Finding]:
    if not bool(torch.isfinite(weight).all()):
        count = int((~torch.isfinite(weight)).sum())
        yield Finding("weights", f"{count:,} edge weights are NaN or infinite", "such a graph is refused", matters=True)
        return
    least, greatest = (float(end) for end in torch.aminmax(weight))
    yield Finding("weights", f"edge weights are within {least:.3g}...{greatest:.3g}")
    if negative := int((weight < 0).sum()):
        yield Finding(
            "negative weights",
            f"{negative:,} of {weight.numel():,} edge weights are negative",
            "a layer that divides by sums of weights, as gcn does, cannot take them; choose another, or shift them",
            matters=True,
        )
    if zero := int((weight == 0).sum()):
        meaning = "they add nothing to a sum and cost operations; remove the edges"
        yield Finding("zero weights", f"{zero:,} edge weights are 0", meaning, matters=True)
    magnitude = weight.abs()
    middle = float(magnitude.median())
    if middle and float(magnitude.max()) > _WIDE * middle:
        yield Finding(
            "weights' scale",
            f"the greatest weight is {float(magnitude.max()) / middle:.3g} times the middle one",
            "one scale covers an adjacency, and most weights become 0 or 1 of its steps; take their logarithm",
            matters=True,
        )
