"""Every backend against the int64 reference, bit for bit."""

from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mixq_rl import kernels
from mixq_rl.quantization import FixedPoint, IntegerRange, PackedRows, Requantization

RANGES = [IntegerRange(bits, signed) for bits in range(1, 9) for signed in (False, True)]
BACKENDS = [*kernels.backends()]
each_backend = pytest.mark.parametrize("backend", BACKENDS)


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
    width=st.one_of(st.integers(1, 40), st.integers(41, 300)),
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
    row = None
    if draw.row_scales:
        row = FixedPoint.nearest(torch.rand(rows, 1, generator=generator), 30)
    exponent = None if row is None else row.exponent
    scale = scale.double() if scale.numel() else torch.ones((), dtype=torch.float64)
    return Requantization.from_scales(scale, bias, exponent, draw.result, draw.x_zero_point % 7), row


def check_requantized(got: PackedRows, expected_sums: Tensor, how: Requantization, row: FixedPoint | None) -> None:
    expected = how(expected_sums.to(torch.int32), row)
    assert got.data.dtype == how.range.storage_dtype
    assert torch.equal(got.unpack(), expected)
    assert torch.equal(got.data, PackedRows.pack(expected, how.range).data)  # also the bits past the last column


@each_backend
@settings(deadline=None, max_examples=150)
@given(draw=draws)
def test_linear_equals_int64(backend: str, draw: Draw) -> None:
    generator = torch.Generator().manual_seed(draw.seed)
    weight_range = IntegerRange(draw.weight_range.bits, True)
    x = integers((draw.rows, draw.width), draw.range, generator, draw.extreme)
    weight = integers((draw.width, draw.other), weight_range, generator, draw.extreme)
    expected = (x.long() - draw.x_zero_point) @ weight.long()
    packed, packed_weight = PackedRows.pack(x, draw.range), PackedRows.pack(weight, weight_range)
    how, row = requantization(draw, expected, generator)
    with kernels.using(backend):
        bytewise = kernels.linear(x, weight, x_zero_point=draw.x_zero_point)
        bitwise = kernels.linear(packed, packed_weight, x_zero_point=draw.x_zero_point)
        fused = kernels.linear_requantize(packed, packed_weight, how, x_zero_point=draw.x_zero_point, row=row)
    assert bytewise.dtype == bitwise.dtype == torch.int32
    assert torch.equal(bytewise.long(), expected)
    assert torch.equal(bitwise.long(), expected)
    check_requantized(fused, expected, how, row)


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
    """By a dense matrix: int64, already centred operands."""
    rows = torch.repeat_interleave(torch.arange(rowptr.numel() - 1), rowptr.diff())
    dense = torch.zeros(rowptr.numel() - 1, x.shape[0], dtype=torch.int64)
    dense.index_put_((rows, col.long()), weight, accumulate=True)
    return dense @ x


@each_backend
@settings(deadline=None, max_examples=200)
@given(draw=draws, nodes=st.integers(0, 30), edges=st.integers(0, 200))
def test_aggregate_equals_int64(backend: str, draw: Draw, nodes: int, edges: int) -> None:
    generator = torch.Generator().manual_seed(draw.seed)
    rowptr, col = graph(draw.rows, nodes, edges, generator)
    weight = integers((col.numel(),), draw.weight_range, generator, draw.extreme)
    x = integers((nodes, draw.width), draw.range, generator, draw.extreme)
    centred = x.long() - draw.x_zero_point
    expected = dense_aggregate(rowptr, col, weight.long() - draw.weight_zero_point, centred)
    packed = PackedRows.pack(x, draw.range)
    how, row = requantization(draw, expected, generator)
    zero_points = {"weight_zero_point": draw.weight_zero_point, "x_zero_point": draw.x_zero_point}
    with kernels.using(backend):
        bytewise = kernels.aggregate(rowptr, col, weight, x, **zero_points)
        bitwise = kernels.aggregate(rowptr, col, weight, packed, **zero_points)
        unweighted = kernels.aggregate(rowptr, col, None, packed, x_zero_point=draw.x_zero_point)
        fused = kernels.aggregate_requantize(rowptr, col, weight, packed, how, row=row, **zero_points)
    assert bytewise.dtype == bitwise.dtype == torch.int32
    assert torch.equal(bytewise.long(), expected)
    assert torch.equal(bitwise.long(), expected)
    assert torch.equal(unweighted.long(), dense_aggregate(rowptr, col, torch.ones_like(col).long(), centred))
    check_requantized(fused, expected, how, row)


@each_backend
@pytest.mark.parametrize("weights", [IntegerRange(8, True), IntegerRange(8, False)])
@pytest.mark.parametrize("offered", [IntegerRange(8, True), IntegerRange(8, False)])
def test_a_hub_at_the_extremes(backend: str, weights: IntegerRange, offered: IntegerRange) -> None:
    degree = 5000
    rowptr = torch.tensor([0, degree, degree], dtype=torch.int32)
    col = torch.zeros(degree, dtype=torch.int32)
    for w in (weights.minimum, weights.maximum):
        for value in (offered.minimum, offered.maximum):
            weight, x = torch.full((degree,), w, dtype=weights.dtype), torch.full((2, 65), value, dtype=offered.dtype)
            with kernels.using(backend):
                got = kernels.aggregate(rowptr, col, weight, x)
            assert torch.equal(got, torch.tensor([[w * value * degree] * 65, [0] * 65], dtype=torch.int32))


@each_backend
def test_linear_at_the_extremes_of_cora(backend: str) -> None:
    x, weight = torch.full((3, 1433), 255, dtype=torch.uint8), torch.full((1433, 128), -128, dtype=torch.int8)
    with kernels.using(backend):
        assert kernels.linear(x, weight).unique().tolist() == [-1433 * 255 * 128]


@each_backend
def test_sums_up_to_the_last_of_int32(backend: str) -> None:
    degree = (2**31 - 1) // (255 * 255)
    rowptr, col = torch.tensor([0, degree], dtype=torch.int32), torch.zeros(degree, dtype=torch.int32)
    weight, x = torch.full((degree,), 255, dtype=torch.uint8), torch.full((1, 17), 255, dtype=torch.uint8)
    with kernels.using(backend):
        assert kernels.aggregate(rowptr, col, weight, x).unique().tolist() == [degree * 255 * 255]
        # What lies between may pass int32, if the result does not.
        centred = kernels.aggregate(rowptr, col, weight, x, x_zero_point=255, weight_zero_point=255)
        assert centred.unique().tolist() == [0]


@each_backend
@pytest.mark.parametrize("bits", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("zero_point", [0, 1])
def test_ties_go_to_the_even_before_the_zero_point_is_added(backend: str, bits: int, zero_point: int) -> None:
    result = IntegerRange(bits, True)
    halves = torch.arange(-40, 41, dtype=torch.int8).unsqueeze(1)
    how = Requantization(torch.tensor(1), 1, 0, None, result, 0 if result.is_sign else zero_point)
    identity = torch.ones(1, 1, dtype=torch.int8)
    with kernels.using(backend):
        got = kernels.linear_requantize(halves, identity, how).unpack()
    expected = (halves.double() / 2).round() + zero_point
    if result.is_sign:
        expected = torch.where(halves >= 0, 1, -1)
    assert torch.equal(got.double(), expected.double().clamp(result.minimum, result.maximum))


@each_backend
def test_the_widest_multipliers(backend: str) -> None:
    """Where the product of multiplier and row scale needs all of its 63 bits."""
    x = torch.tensor([[127], [-128], [1], [0]], dtype=torch.int8)
    weight = torch.tensor([[127, -128, 1]], dtype=torch.int8)
    row = FixedPoint(torch.full((4, 1), 2**31 - 1, dtype=torch.int32), 0)
    for row_shift in (30, 31, 50):
        columns = torch.tensor([2**31 - 1, 2**31 - 2, 1])
        how = Requantization(columns, 40, row_shift, torch.tensor([2**52, -(2**52), 7]), IntegerRange(8, True), -5)
        with kernels.using(backend):
            got = kernels.linear_requantize(x, weight, how, row=row)
        check_requantized(got, x.long() @ weight.long(), how, row)


@each_backend
def test_non_contiguous_operands_are_taken(backend: str) -> None:
    generator = torch.Generator().manual_seed(0)
    offered = IntegerRange(8, True)
    x, weight = integers((9, 6), offered, generator, False).t(), integers((5, 9), offered, generator, False).t()
    rowptr, col = graph(6, 6, 20, generator)
    strided = torch.stack([col, col], dim=1)[:, 0]
    alpha = integers((20, 2), offered, generator, False)[:, 1]
    assert not any(tensor.is_contiguous() for tensor in (x, weight, strided, alpha))
    with kernels.using(backend):
        assert torch.equal(kernels.linear(x, weight).long(), x.long() @ weight.long())
        got = kernels.aggregate(rowptr, strided, alpha, x)
    assert torch.equal(got.long(), dense_aggregate(rowptr, col, alpha.long(), x.long()))


@each_backend
def test_results_are_written_where_they_are_asked_for(backend: str) -> None:
    generator = torch.Generator().manual_seed(0)
    offered = IntegerRange(8, True)
    x, weight = integers((6, 9), offered, generator, False), integers((9, 5), offered, generator, False)
    rowptr, col = graph(6, 6, 20, generator)
    with kernels.using(backend):
        out = torch.full((6, 5), -1, dtype=torch.int32)
        assert kernels.linear(x, weight, out=out) is out
        assert torch.equal(out, kernels.linear(x, weight))
        out = torch.full((6, 9), -1, dtype=torch.int32)
        assert kernels.aggregate(rowptr, col, None, x, out=out) is out
        assert torch.equal(out, kernels.aggregate(rowptr, col, None, x))


@each_backend
def test_results_too_large_for_the_caches(backend: str) -> None:
    """Which are written past them, 16 or 64 bytes at a time."""
    if backend == "reference":
        pytest.skip("the reference writes all sizes alike")
    generator = torch.Generator().manual_seed(0)
    for width in (100, 128, 131):
        rows = 2**23 // (4 * width) + 1000
        rowptr = torch.arange(rows + 1, dtype=torch.int32)
        col = torch.randint(0, 50, (rows,), generator=generator).to(torch.int32)
        x = integers((50, width), IntegerRange(8, True), generator, False)
        with kernels.using(backend):
            assert torch.equal(kernels.aggregate(rowptr, col, None, x), x[col.long()].to(torch.int32))
