"""Layer normalisation: float, fake-quantized and integer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mixq_rl.errors import InputError
from mixq_rl.graph import Graph
from mixq_rl.nn.addition import centred, check_alignment
from mixq_rl.nn.operator import Operator, Real, Symbol
from mixq_rl.nn.step import IntegerStep, Signature, check_scale, count_entries
from mixq_rl.quantization import (
    AnyAlignment,
    FakeQuantized,
    Granularity,
    LearnedQuantizer,
    QTensor,
    substitute,
)
from mixq_rl.quantization.requantization import rounding_shift
from mixq_rl.storage.artifacts import storable

__all__ = ["IntegerLayerNorm", "LayerNorm", "normalized"]

_POINT = 26
"""Number of bits behind the binary point of normalized values, before they get few bits."""

# Centred integers take 10 bits. So the sum of the squares of n of them, times n^3 / n, stays below 2^60.
_MOST_CHANNELS = 2**13
_LARGEST_EPSILON = 2**60


class LayerNorm(Operator):
    r"""Layer normalisation of Ba et al. (2016): each row is normalised by its own mean and variance.

    .. math::
        X'_{ic} = \sigma\left(\gamma_c \frac{X_{ic} - \mu_i}{\sqrt{\sigma_i^2 + \epsilon}} + \beta_c\right)

    On integers, with :math:`v = q - z` of n columns and scale s, :math:`u_c = n v_c - \sum_k v_k` is exact, and

    .. math::
        \frac{X_{ic} - \mu_i}{\sqrt{\sigma_i^2 + \epsilon}} = \sqrt{n} \frac{u_c}{\sqrt{T}}, \quad
        T = \sum_k u_k^2 + n^3 \epsilon / s^2

    The root is an integer square root of 31 bits, and its reciprocal an integer division (:func:`normalized`).
    :math:`\sqrt{n}`, :math:`\gamma` and the scale of the result are one fixed-point number for each column.

    Components: the result.

    Args:
        channels: n, at most 8192.
        result: name of the result's component.
        epsilon: :math:`\epsilon`.
        affine: whether there are :math:`\gamma` and :math:`\beta`; otherwise they are 1 and 0.
        bias: whether there is :math:`\beta`.
        relu: whether :math:`\sigma` is ReLU or the identity.

    Shapes:
        ``[rows, channels]`` to ``[rows, channels]``.

    Raises:
        InputError: for more channels.
    """

    gives = Granularity.ROW

    def __init__(
        self,
        channels: int,
        result: str,
        *,
        epsilon: float = 1e-5,
        affine: bool = True,
        bias: bool = True,
        relu: bool = False,
    ) -> None:
        super().__init__()
        if not 1 <= channels <= _MOST_CHANNELS:
            raise InputError(
                f"layer normalisation {result!r} of {channels} columns: 1 to {_MOST_CHANNELS} are possible"
            )
        self.channels = channels
        self.epsilon = epsilon
        self.relu = relu
        self.weight = nn.Parameter(torch.ones(channels)) if affine else None
        self.bias = nn.Parameter(torch.zeros(channels)) if affine and bias else None
        self.result_quantizer = LearnedQuantizer(result, "update", signed=not relu, affine=not relu)

    def reset_parameters(self) -> None:
        if self.weight is not None:
            nn.init.ones_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def real(self, inputs: Sequence[Real], graph: Graph | None) -> Real:
        (x,) = inputs
        result = functional.layer_norm(x.dense, (self.channels,), self.weight, self.bias, self.epsilon)
        result = result.relu() if self.relu else result
        return Real(self.result_quantizer(result), self.result_quantizer.name)

    def fake_quantized(self, inputs: Sequence[FakeQuantized], graph: Graph | None) -> FakeQuantized:
        (x,), dtype = inputs, inputs[0].values.dtype
        unit = self.channels**-0.5 * 2.0**_POINT
        real = functional.layer_norm(x.to_real(), (self.channels,), eps=self.epsilon) * unit
        exact = normalized(x.dense.detach().round().to(torch.int64), self._steps(x.scale)).to(dtype)
        scale = self._scale(x.scale.device)
        return self.result_quantizer.fake_align([substitute(real, exact)], [scale], self.bias, x.protected)

    def freeze(self, inputs: Sequence[Symbol]) -> Symbol:
        (x,) = inputs
        own = self.result_quantizer
        step = IntegerLayerNorm(
            result=own.name,
            sources=(x.index,),
            channels=self.channels,
            epsilon=self._steps(x.quantizer.scale),
            alignment=own.alignment([self._scale(x.quantizer.scale.device)], self.bias),
            scale=own.scale.detach(),
        )
        return x.program.append(step, own.quantizer(), own.name)

    def _steps(self, scale: Tensor) -> int:
        """Return epsilon in the unit of the integers' T."""
        steps = self.channels**3 * self.epsilon / float(scale.detach()) ** 2
        return round(min(steps, float(_LARGEST_EPSILON)))

    def _scale(self, device: torch.device) -> Tensor:
        """Return the real scale of normalized integers in each column, float64 ``[]`` or ``[columns]``."""
        unit = torch.tensor(self.channels**0.5 * 2.0**-_POINT, dtype=torch.float64, device=device)
        return unit if self.weight is None else unit * self.weight.double()

    def extra_repr(self) -> str:
        return f"{self.channels}, epsilon={self.epsilon}, affine={self.weight is not None}, relu={self.relu}"


def normalized(x: Tensor, epsilon: int) -> Tensor:
    r"""Return :math:`2^{26} u / \sqrt{\sum u^2 + \epsilon}`, rounded half to even; :math:`u_c = n x_c - \sum_k x_k`.

    The reciprocal of the root has 30 bits, so that the relative error is below :math:`2^{-29}`.

    Args:
        x: int64 ``[rows, n]``, below :math:`2^{10}` in magnitude, with n at most :math:`2^{13}`.
        epsilon: at most :math:`2^{60}`, not negative.

    Returns:
        int64 ``[rows, n]``, at most :math:`2^{26}` in magnitude.
    """
    u = x * x.shape[1] - x.sum(dim=1, keepdim=True)
    total = ((u * u).sum(dim=1, keepdim=True) + epsilon).clamp(min=1)
    doublings = torch.zeros_like(total)
    for step in (16, 8, 4, 2, 1):  # total * 4^doublings gets 61 or 62 bits
        short = (total < 2 ** (62 - 2 * step)).to(torch.int64) * step
        total, doublings = total << (2 * short), doublings + short
    reciprocal = torch.div(torch.full_like(total, 2**61), _root(total), rounding_mode="floor")
    return rounding_shift(u * reciprocal, 61 - _POINT - doublings)


def _root(x: Tensor) -> Tensor:
    """Return the square root, rounded down, of int64 numbers below 2^62."""
    root = torch.zeros_like(x)
    for bit in range(30, -1, -1):
        trial = root + 2**bit
        root = torch.where(trial * trial <= x, trial, root)
    return root


@storable
@dataclass(frozen=True)
class IntegerLayerNorm(IntegerStep):
    """Integer step of :class:`LayerNorm`.

    Attributes:
        result: name of the result's component.
        sources: the source of the rows.
        channels: number of columns.
        epsilon: added to the sums of squares.
        alignment: map from normalized integers to the result's integers.
        scale: scale of the result, float64 scalar.
    """

    result: str
    sources: tuple[int, ...]
    channels: int
    epsilon: int
    alignment: AnyAlignment
    scale: Tensor

    def __post_init__(self) -> None:
        if not 1 <= self.channels <= _MOST_CHANNELS or not 0 <= self.epsilon <= _LARGEST_EPSILON:
            raise ValueError(f"columns or epsilon of the layer normalisation {self.result!r} are out of bounds")

    @property
    def bits(self) -> Mapping[str, int]:
        return {self.result: self.alignment.range.bits}

    @property
    def in_columns(self) -> int:
        return self.channels

    @property
    def num_parameters(self) -> int:
        return count_entries(*(each for each in self.alignment.multipliers if each.dim()), self.alignment.bias)

    def infer(self, inputs: Sequence[Signature]) -> Signature:
        (x,) = inputs
        x.require(self.result, Granularity.TENSOR, columns=self.channels)
        check_alignment(self.result, self.alignment, inputs, self.channels)
        check_scale(self.result, self.scale)
        result = self.alignment
        return Signature(result.range, result.zero_point, self.channels, result.has_row, pooled=x.pooled)

    def __call__(self, inputs: Sequence[QTensor], prepared: Any) -> QTensor:
        (x,) = inputs
        return self.alignment.quantized([normalized(centred(x).to(torch.int64), self.epsilon)], self.scale)
