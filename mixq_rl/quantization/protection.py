"""Nodes protected from quantization in training."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mixq_rl.errors import InputError
from mixq_rl.storage.artifacts import storable

__all__ = ["Protection"]


@storable
@dataclass(frozen=True)
class Protection:
    r"""The protective mask of Degree-Quant (Tailor et al., ICLR 2021).

    Every forward pass of training protects random nodes: their rows stay unquantized. Rounding harms sums over many
    neighbours most, so the probability of protection grows from ``low`` to ``high`` with the in-degree:

    .. math::
        p_i = p_{low} + (p_{high} - p_{low}) \, |\{j : d_j \le d_i\}| / n

    Here n is the number of nodes of the graph that node i belongs to.

    Attributes:
        low: lowest probability, in [0, 1].
        high: highest probability, from ``low`` to 1.

    Raises:
        InputError: for other probabilities.
    """

    low: float = 0.0
    high: float = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high <= 1:
            raise InputError(f"protection with probability {self.low} to {self.high}: 0 <= low <= high <= 1 is needed")
        object.__setattr__(self, "low", float(self.low))
        object.__setattr__(self, "high", float(self.high))

    def probability(self, degree: Tensor, batch: Tensor | None = None) -> Tensor:
        """Return the probability of each node, float64 ``[nodes]``.

        Args:
            degree: in-degrees, int64 ``[nodes]``.
            batch: the graph of each node, int64 ``[nodes]``, or None: there is one.
        """
        if degree.numel() == 0:
            return degree.double()
        graph = torch.zeros_like(degree) if batch is None else batch
        span = degree.max() + 1
        keys, inverse, counts = torch.unique(graph * span + degree, return_inverse=True, return_counts=True)
        sizes = torch.bincount(graph)
        nodes_before = sizes.cumsum(0) - sizes
        owner = keys // span
        rank = (counts.cumsum(0) - nodes_before[owner]).double() / sizes[owner]
        return (self.low + (self.high - self.low) * rank)[inverse]

    def draw(self, edge_index: Tensor, num_nodes: int, batch: Tensor | None = None) -> Tensor:
        """Return a random mask of protected nodes, drawn from torch's CPU generator: the same mask on every device.

        Args:
            edge_index: sources and targets, int64 ``[2, edges]``.
            num_nodes: number of nodes.
            batch: the graph of each node, int64 ``[nodes]``, or None: there is one.

        Returns:
            bool, ``[nodes, 1]``.
        """
        degree = torch.bincount(edge_index[1], minlength=num_nodes)
        drawn = torch.bernoulli(self.probability(degree, batch).cpu())
        return drawn.bool().unsqueeze(1).to(degree.device)
