"""The normalised adjacency of a graph, split into what is quantized and what is folded into requantization."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from mixq_rl.errors import InvalidGraphError
from mixq_rl.sparse import CSR

__all__ = ["Adjacency", "check_edge_index"]


@dataclass(frozen=True)
class Adjacency:
    r"""A sparse matrix :math:`a_{ij} = r_i v_{ij}` in CSR form: row i holds the edges j -> i.

    Attributes:
        csr: where the entries are.
        value: float64, ``[edges]``: v, the part that is quantized.
        row_scale: float64, ``[nodes, 1]``: r, folded into the requantization of the sums.
    """

    csr: CSR
    value: Tensor
    row_scale: Tensor

    @classmethod
    def gcn(cls, edge_index: Tensor, num_nodes: int) -> Self:
        r"""Return :math:`D^{-1/2} (A + I) D^{-1/2}` (Kipf and Welling, 2017).

        It is split into :math:`r_i = d_i^{-1/2}` and :math:`v_{ij} = d_j^{-1/2}`.
        Self-loops in ``edge_index`` are replaced by one of weight 1 at every node.

        Args:
            edge_index: int64, ``[2, edges]``: sources and targets.
            num_nodes: number of nodes.

        Raises:
            InvalidGraphError: for an edge to a node that does not exist.
        """
        check_edge_index(edge_index, num_nodes)
        source, target = edge_index[:, edge_index[0] != edge_index[1]]
        loops = torch.arange(num_nodes, device=edge_index.device)
        source, target = torch.cat([source, loops]), torch.cat([target, loops])
        order = torch.argsort(target * num_nodes + source)
        source, target = source[order], target[order]
        degree = torch.bincount(target, minlength=num_nodes)
        factor = degree.double().rsqrt()
        rowptr = torch.zeros(num_nodes + 1, dtype=torch.int32, device=edge_index.device)
        rowptr[1:] = degree.cumsum(0)
        return cls(CSR(rowptr, source.to(torch.int32), num_nodes), factor[source], factor.unsqueeze(1))


def check_edge_index(edge_index: Tensor, num_nodes: int) -> None:
    """Check form and range of ``edge_index``.

    Raises:
        InvalidGraphError: if it is not an integer ``[2, edges]`` tensor of existing nodes.
    """
    if edge_index.dim() != 2 or edge_index.shape[0] != 2 or edge_index.dtype not in (torch.int64, torch.int32):
        raise InvalidGraphError(
            f"edge_index must be integers of shape [2, edges], not {edge_index.dtype} of shape {list(edge_index.shape)}"
            + (": transpose it" if edge_index.dim() == 2 and edge_index.shape[1] == 2 else "")
        )
    if edge_index.numel() == 0:
        return
    low, high = int(edge_index.min()), int(edge_index.max())
    if low < 0 or high >= num_nodes:
        offender = low if low < 0 else high
        raise InvalidGraphError(
            f"edge_index names node {offender}, but the graph has nodes 0...{num_nodes - 1}: "
            f"x must have a row for every node"
        )
