"""Parts of one graph by neighbour sampling (GraphSAGE, Hamilton et al., 2017).

PyTorch Geometric's ``NeighborLoader`` does the same by pyg-lib or torch-sparse, and ``ClusterLoader`` needs one of them
too. Neither has wheels on PyPI, so a dependency on them could not be installed like the others.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from mixq_rl.datasets.batching import ranges
from mixq_rl.datasets.inputs import GraphInputs
from mixq_rl.graph import Graph
from mixq_rl.graph_part import GraphPart
from mixq_rl.propagation import Propagation

__all__ = ["NeighborSampler"]


class NeighborSampler:
    """Sampler of the part of a graph that the outputs of seed nodes are computed from.

    Each hop draws neighbours of the nodes that the hop before has found, uniformly and without replacement. A node
    that was found keeps the neighbours that it was given first. The part has these edges only, from a neighbour to its
    node. What its propagations are is said in :class:`~mixq_rl.graph_part.GraphPart`.

    Args:
        x: node features, float32 ``[nodes, features]``.
        graph: the graph.
        y: labels, ``[nodes]`` or ``[nodes, labels]``.
        labelled: nodes whose labels may be used, bool ``[nodes]``.
        num_neighbors: as in :class:`~mixq_rl.datasets.mini_batches.MiniBatches`.
    """

    def __init__(self, x: Tensor, graph: Graph, y: Tensor, labelled: Tensor, num_neighbors: Sequence[int]) -> None:
        self._x, self._y, self._labelled = x, y, labelled
        self._num_neighbors = tuple(num_neighbors)
        self._graph = graph
        self._weight_type = None if graph.edge_weight is None else graph.edge_weight.dtype
        self._adjacency = graph.adjacency(Propagation(weighted=graph.edge_weight is not None))

    def __call__(self, seeds: Tensor, generator: torch.Generator) -> GraphInputs:
        """Return the part of the graph for some seeds. Its rows are the seeds, and its first nodes too.

        Args:
            seeds: distinct nodes, int64 ``[seeds]``.
            generator: draws the neighbours; a generator of the CPU, so that all devices get the same part.
        """
        place = torch.full((self._x.shape[0],), -1, device=seeds.device)
        place[seeds] = torch.arange(seeds.numel(), device=seeds.device)
        nodes, entries, targets = [seeds], [seeds.new_empty(0)], [seeds.new_empty(0)]
        count = seeds.numel()
        for number in self._num_neighbors:
            entry, target = self._drawn(nodes[-1], number, generator)
            source = self._adjacency.csr.col[entry].long()
            found = source[place[source] < 0].unique()
            place[found] = torch.arange(count, count + found.numel(), device=seeds.device)
            count += found.numel()
            nodes.append(found)
            entries.append(entry)
            targets.append(place[target])
        every, entry = torch.cat(nodes), torch.cat(entries)
        edge_index = torch.stack([place[self._adjacency.csr.col[entry].long()], torch.cat(targets)])
        weight = None if self._weight_type is None else self._adjacency.entries(entry).to(self._weight_type)
        part = GraphPart(edge_index, self._graph, every, edge_weight=weight)
        labelled = self._labelled[seeds].nonzero()[:, 0]
        return GraphInputs(self._x[every], part, self._y[seeds], labelled, seeds)

    def _drawn(self, nodes: Tensor, number: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return the entries of the drawn edges into ``nodes``, and the node of each."""
        rowptr = self._adjacency.csr.rowptr
        first, degree = rowptr[nodes].long(), (rowptr[nodes + 1] - rowptr[nodes]).long()
        few = degree <= number if number >= 0 else torch.ones_like(degree, dtype=torch.bool)
        most = max(number, 0)
        some = first[~few].unsqueeze(1) + _subsets(degree[~few], most, generator)
        entry = torch.cat([ranges(first[few], degree[few]), some.flatten()])
        return entry, torch.cat([nodes[few].repeat_interleave(degree[few]), nodes[~few].repeat_interleave(most)])


def _subsets(size: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Return ``count`` distinct numbers below each size, int64 ``[sizes, count]``; each subset is equally likely.

    Source: Bentley and Floyd, "A Sample of Brilliance", 1987.
    """
    drawn = torch.rand(count, size.numel(), generator=generator, dtype=torch.float64).to(size.device)
    chosen = size.new_empty(size.numel(), count)
    for step in range(count):
        last = size - count + step
        number = torch.minimum((drawn[step] * (last + 1)).long(), last)
        known = (chosen[:, :step] == number.unsqueeze(1)).any(dim=1)
        chosen[:, step] = torch.where(known, last, number)
    return chosen
