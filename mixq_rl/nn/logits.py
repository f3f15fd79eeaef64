"""Logits of attention: their base classes, and those of graph attention."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mixq_rl.nn.activations import check_table, lookup_table, table_entries
from mixq_rl.nn.addition import centred
from mixq_rl.nn.combination import single_alignment
from mixq_rl.nn.operator import Real, Symbol
from mixq_rl.nn.step import Signature, check_columns
from mixq_rl.quantization import (
    Alignment,
    FakeQuantized,
    Granularity,
    IntegerRange,
    LearnedQuantizer,
    QTensor,
    substitute,
)
from mixq_rl.sparse import CSR
from mixq_rl.storage.artifacts import storable

__all__ = ["AddedScores", "IntegerAddedScores", "IntegerLogits", "Logits", "activated"]


class Logits(nn.Module):
    """Base class of logits: a number for each edge and head, computed from the values of the edge's two nodes.

    Attributes:
        quantizer: quantizer of the logits.
    """

    quantizer: LearnedQuantizer

    def reset_parameters(self) -> None:
        """Draw new random weights; there may be none."""

    def real(self, inputs: Sequence[Real], csr: CSR) -> Tensor:
        """Return the float logits, ``[edges, heads]``; each component's values pass through its quantizer."""
        raise NotImplementedError

    def fake_quantized(self, inputs: Sequence[FakeQuantized], csr: CSR) -> tuple[Tensor, Tensor]:
        """Return the quantized logits as real numbers with gradients, and their integers, ``[edges, heads]`` each."""
        raise NotImplementedError

    def freeze(self, inputs: Sequence[Symbol]) -> "IntegerLogits":
        """Return the integer computation at the bit-widths in force."""
        raise NotImplementedError


@dataclass(frozen=True)
class IntegerLogits:
    """Base class of the logits of an integer network."""

    @property
    def range(self) -> IntegerRange:
        """Range of the logits' integers."""
        raise NotImplementedError

    @property
    def bits(self) -> Mapping[str, int]:
        """Bit-widths of the components, by name."""
        raise NotImplementedError

    @property
    def nbytes(self) -> int:
        """Bytes of the weights."""
        return 0

    @property
    def num_parameters(self) -> int:
        """Number of weights."""
        return 0

    def check(self, step: str, inputs: Sequence[Signature], heads: int) -> None:
        """Check that the logits of so many heads can be computed from inputs of given signatures.

        Raises:
            ValueError: naming the step.
            SumOverflowError: if an int32 sum might overflow.
        """
        raise NotImplementedError

    def __call__(self, inputs: Sequence[QTensor], csr: CSR) -> Tensor:
        """Return the logits' integers, int8 ``[edges, heads]``."""
        raise NotImplementedError


def activated(x: FakeQuantized, quantizer: LearnedQuantizer, function: nn.Module) -> Tensor:
    """Return the integers of a function of single entries, whose results have the quantizer of its arguments."""
    own = quantizer.quantizer()
    codes = (x.dense.detach() + x.zero_point).round()
    return lookup_table(own, function, own)[table_entries(codes, x.range)]


class AddedScores(Logits):
    r"""Logits of graph attention: :math:`l_{ij}^h = \mathrm{LeakyReLU}(s_j^h + t_i^h)`.

    On integers, the scores are added and requantized to b bits, and LeakyReLU is a table of :math:`2^b` entries.

    Components: the logits.

    Args:
        name: name of the component.
        negative_slope: slope of LeakyReLU below 0.

    Shapes:
        messages, which are not used, and scores ``[nodes, 2 * heads]`` (s of all heads, then t) to ``[edges, heads]``.
    """

    def __init__(self, name: str, *, negative_slope: float = 0.2) -> None:
        super().__init__()
        self.leaky = nn.LeakyReLU(negative_slope)
        self.quantizer = LearnedQuantizer(name, "attention", signed=True, affine=True)

    def real(self, inputs: Sequence[Real], csr: CSR) -> Tensor:
        _, score = inputs
        result: Tensor = self.leaky(self.quantizer(_on_edges(score.dense, csr)))
        return result

    def fake_quantized(self, inputs: Sequence[FakeQuantized], csr: CSR) -> tuple[Tensor, Tensor]:
        _, score = inputs
        dtype = score.values.dtype
        logit = self.quantizer.fake_align([_on_edges(score.dense, csr)], [score.scale])
        codes = activated(logit, self.quantizer, self.leaky)
        exact = (codes.to(dtype) - logit.zero_point) * logit.scale.detach().to(dtype)
        return substitute(self.leaky(logit.to_real()), exact), codes

    def freeze(self, inputs: Sequence[Symbol]) -> "IntegerAddedScores":
        _, score = inputs
        own = self.quantizer.quantizer()
        alignment = single_alignment(self.quantizer, score)
        return IntegerAddedScores(self.quantizer.name, alignment, lookup_table(own, self.leaky, own))


@storable
@dataclass(frozen=True)
class IntegerAddedScores(IntegerLogits):
    """Integer form of :class:`AddedScores`.

    Attributes:
        name: name of the component.
        alignment: map from the sums of two scores to the logits' integers.
        leaky: int8, LeakyReLU of each logit, from the least logit up.
    """

    name: str
    alignment: Alignment
    leaky: Tensor

    @property
    def range(self) -> IntegerRange:
        return self.alignment.range

    @property
    def bits(self) -> Mapping[str, int]:
        return {self.name: self.range.bits}

    def check(self, step: str, inputs: Sequence[Signature], heads: int) -> None:
        _, score = inputs
        score.require(step, Granularity.TENSOR, columns=2 * heads)
        check_table(step, self.leaky, self.range, self.range)
        if len(self.alignment.multipliers) != 1:
            raise ValueError(f"step {step!r} has {len(self.alignment.multipliers)} multipliers of its scores")
        check_columns(step, heads, *self.alignment.multipliers, self.alignment.bias)

    def __call__(self, inputs: Sequence[QTensor], csr: CSR) -> Tensor:
        _, score = inputs
        logit = self.alignment([_on_edges(centred(score), csr)])
        return self.leaky[table_entries(logit.to(torch.int16), self.range)]


def _on_edges(score: Tensor, csr: CSR) -> Tensor:
    """Return s of each edge's source plus t of its target, ``[edges, heads]``."""
    heads = score.shape[1] // 2
    return score[:, :heads].index_select(0, csr.col.long()) + score[:, heads:].index_select(0, csr.target)
