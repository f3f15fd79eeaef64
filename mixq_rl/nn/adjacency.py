"""Quantized adjacency matrices of integer sums over neighbours."""

import math
from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from mixq_rl.adjacency import Adjacency
from mixq_rl.conditions import require
from mixq_rl.errors import InvalidGraphError
from mixq_rl.quantization import FixedPoint, IntegerRange, Quantizer
from mixq_rl.sparse import CSR

__all__ = ["ROW_EXPONENT", "IntegerAdjacency", "fixed_row", "integers_of"]

ROW_EXPONENT = 30
"""Exponent of the rows' fixed-point scales 1/d and d^(-1/2), which never exceed 1 in a whole graph."""
_UNWEIGHTED = IntegerRange(1, signed=False)


def fixed_row(adjacency: Adjacency) -> FixedPoint | None:
    """Return the row scales of an adjacency in fixed point, or None if it has none."""
    if adjacency.row_scale is None:
        return None
    beyond = math.ceil(math.log2(adjacency.row_bound)) if adjacency.row_bound > 1 else 0
    return FixedPoint.nearest(adjacency.row_scale, ROW_EXPONENT - beyond)


def integers_of(quantizer: Quantizer | None) -> tuple[IntegerRange, int]:
    """Return range and zero point of an adjacency's integers; without a quantizer all entries are 1."""
    return (_UNWEIGHTED, 0) if quantizer is None else (quantizer.range, quantizer.zero_point)


@dataclass(frozen=True)
class IntegerAdjacency:
    """Quantized adjacency matrix of a step.

    Attributes:
        csr: the sparsity pattern.
        weight: the integers alpha of the edges, int8 or uint8 ``[edges]``; None: all 1. Each takes a byte at any
            bit-width, because the index of the edge and the row that it gathers take many more.
        row: fixed-point scales of the rows, or None.
    """

    csr: CSR
    weight: Tensor | None
    row: FixedPoint | None

    @classmethod
    def of(
        cls, adjacency: Adjacency, quantizer: Quantizer | None, epsilon: Tensor | None, layer: str
    ) -> "IntegerAdjacency":
        """Return an adjacency's integers; steps that differ only in the bits of other components share them.

        Args:
            adjacency: the adjacency.
            quantizer: quantizer of its entries; None: all entries are 1.
            epsilon: float64 ``[1]``, added to the weight of the self-loops that the propagation adds, or None.
            layer: name of the layer, for the message.

        Raises:
            InvalidGraphError: for negative edge weights where those of the training data were not.
        """

        def made() -> IntegerAdjacency:
            return cls(adjacency.csr, _integers(adjacency, quantizer, epsilon, layer, key), fixed_row(adjacency))

        key: tuple[Any, ...] | None = None
        if torch.compiler.is_compiling():
            return made()
        scale = None if quantizer is None else float(quantizer.scale)
        key = (*integers_of(quantizer), scale, None if epsilon is None else float(epsilon))
        found: IntegerAdjacency | None = adjacency.quantized.get(key)
        if found is None:
            found = adjacency.quantized[key] = made()
        return found

    @cached_property
    def totals(self) -> Tensor:
        """Sum of the magnitudes of each row's integers, int64 ``[rows]``."""
        rowptr = self.csr.rowptr.long()
        if self.weight is None:
            return rowptr.diff()
        running = torch.cat([rowptr.new_zeros(1), self.weight.long().abs().cumsum(0)])
        return running[rowptr].diff()


def _integers(
    adjacency: Adjacency, quantizer: Quantizer | None, epsilon: Tensor | None, layer: str, key: Hashable
) -> Tensor | None:
    if quantizer is None:
        return None
    if adjacency.weight is not None and not quantizer.range.signed:
        reason = (
            f"layer {layer!r}: edge weights are negative, and those of the training data were not: "
            f"train on a graph with negative weights"
        )
        require((adjacency.weight >= 0).all(), reason, lambda: InvalidGraphError(reason))
    integers = adjacency.map(quantizer.integers, key)
    if epsilon is None:
        return integers
    heavier = adjacency.entries(adjacency.loops) + epsilon
    return integers.index_copy(0, adjacency.loops, quantizer.integers(heavier))
