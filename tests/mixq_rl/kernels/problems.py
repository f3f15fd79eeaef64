"""Random problems for the integer kernels, and what their results must be."""

from typing import NamedTuple

import torch
from hypothesis import strategies as st
from torch import Tensor

from mixq_rl.quantization import FixedPoint, IntegerRange, PackedRows, Requantization

RANGES = [IntegerRange(bits, signed) for bits in range(1, 9) for signed in (False, True)]


class Draw(NamedTuple):
    """What hypothesis draws of a problem; the integers come from the seed."""

    rows: int
    width: int
    other: int
    range: IntegerRange
    weight_range: IntegerRange
    result: IntegerRange
    x_zero_point: int
    weight_zero_point: int
    extreme: bool
    row_scales: bool
    column_scales: bool
    seed: int


draws = st.builds(
    Draw,
    rows=st.integers(0, 20),
    width=st.one_of(st.integers(1, 40), st.integers(41, 300), st.sampled_from([16, 64, 128, 256])),
    other=st.one_of(st.integers(0, 40), st.integers(41, 150)),
    range=st.sampled_from(RANGES),
    weight_range=st.sampled_from(RANGES),
    result=st.sampled_from(RANGES),
    x_zero_point=st.integers(-128, 255),
    weight_zero_point=st.sampled_from([0, 0, 1, -128, 255]),
    extreme=st.booleans(),
    row_scales=st.booleans(),
    column_scales=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)


def integers(shape: tuple[int, ...], offered: IntegerRange, generator: torch.Generator, extreme: bool) -> Tensor:
    """Integers of a range; if extreme, only its ends."""
    if extreme or offered.is_sign:
        ends = torch.tensor([offered.minimum, offered.maximum], dtype=offered.dtype)
        return ends[torch.randint(0, 2, shape, generator=generator)]
    drawn = torch.randint(offered.minimum, offered.maximum + 1, shape, generator=generator)
    return drawn.to(offered.dtype)


def requantization(draw: Draw, sums: Tensor, generator: torch.Generator) -> tuple[Requantization, FixedPoint | None]:
    """A requantization that spreads sums over the result's range; powers of two among the scales give ties."""
    rows, columns = sums.shape
    spread = max(1.0, float(sums.abs().max()) if sums.numel() else 1.0)
    scale = torch.tensor(2.0 ** torch.randint(-3, 2, (), generator=generator).item() * draw.result.maximum / spread)
    scale = 2.0 ** scale.log2().round() if draw.seed % 2 else scale
    if draw.column_scales:
        scale = scale * (1 + torch.rand(columns, generator=generator))
    bias = torch.randn(columns, generator=generator).double() if draw.column_scales and columns else None
    row = FixedPoint.nearest(torch.rand(rows, 1, generator=generator), 30) if draw.row_scales else None
    exponent = None if row is None else row.exponent
    scale = scale.double() if scale.numel() else torch.ones((), dtype=torch.float64)
    return Requantization.from_scales(scale, bias, exponent, draw.result, draw.x_zero_point % 7), row


def check_requantized(got: PackedRows, sums: Tensor, how: Requantization, row: FixedPoint | None) -> None:
    """Compare with the requantization of the right sums, bit for bit."""
    expected = how(sums.to(torch.int32), row)
    assert got.data.dtype == how.range.storage_dtype
    assert torch.equal(got.unpack(), expected)
    assert torch.equal(got.data, PackedRows.pack(expected, how.range).data)  # also the bits past the last column


def graph(rows: int, nodes: int, edges: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A random graph in CSR; about half of its rows have no neighbours."""
    if not rows or not nodes:
        edges = 0
    row = torch.randint(0, max(rows, 1), (edges,), generator=generator) // 2 * 2
    row = row.clamp(max=max(rows - 1, 0)).sort().values
    rowptr = torch.zeros(rows + 1, dtype=torch.int32)
    if rows:
        rowptr[1:] = torch.bincount(row, minlength=rows).cumsum(0)
    return rowptr, torch.randint(0, max(nodes, 1), (edges,), generator=generator).to(torch.int32)


def dense_aggregate(rowptr: Tensor, col: Tensor, weight: Tensor, x: Tensor) -> Tensor:
    """By a dense matrix: int64, of operands that are already centred."""
    rows = torch.repeat_interleave(torch.arange(rowptr.numel() - 1), rowptr.diff())
    dense = torch.zeros(rowptr.numel() - 1, x.shape[0], dtype=torch.int64)
    dense.index_put_((rows, col.long()), weight, accumulate=True)
    return dense @ x
