"""Every backend against the int64 reference, bit for bit."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mixq_rl import kernels
from mixq_rl.quantization import FixedPoint, IntegerRange, PackedRows, Requantization
from tests.mixq_rl.kernels.problems import (
    Draw,
    check_requantized,
    dense_aggregate,
    draws,
    graph,
    integers,
    requantization,
)

each_backend = pytest.mark.parametrize("backend", kernels.backends())


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
        rows = 2**24 // (4 * width) + 1000
        rowptr = torch.arange(rows + 1, dtype=torch.int32)
        col = torch.randint(0, 50, (rows,), generator=generator).to(torch.int32)
        x = integers((50, width), IntegerRange(8, True), generator, False)
        with kernels.using(backend):
            assert torch.equal(kernels.aggregate(rowptr, col, None, x), x[col.long()].to(torch.int32))


@each_backend
def test_a_row_shift_counts_with_row_scales_only(backend: str) -> None:
    how = Requantization(torch.tensor(2**20), 20, 5, None, IntegerRange(8, True), 0)
    x, weight = torch.tensor([[3], [-3]], dtype=torch.int8), torch.tensor([[1, 2]], dtype=torch.int8)
    with kernels.using(backend):
        plain = kernels.linear_requantize(x, weight, how)
        scaled = kernels.linear_requantize(x, weight, how, row=FixedPoint(torch.tensor([[32], [64]]).int(), 0))
    assert plain.unpack().tolist() == [[3, 6], [-3, -6]]
    assert scaled.unpack().tolist() == [[3, 6], [-6, -12]]


@each_backend
def test_nothing_gives_nothing_and_no_inputs_give_zero(backend: str) -> None:
    empty, x = torch.zeros(2, 0, dtype=torch.int8), torch.ones(2, 3, dtype=torch.int8)
    rowptr, col = torch.tensor([0, 1, 2], dtype=torch.int32), torch.tensor([0, 1], dtype=torch.int32)
    with kernels.using(backend):
        assert kernels.linear(empty, torch.zeros(0, 3, dtype=torch.int8)).tolist() == [[0] * 3] * 2
        assert kernels.linear(x, torch.zeros(3, 0, dtype=torch.int8)).shape == (2, 0)
        assert kernels.linear(x[:0], torch.zeros(3, 2, dtype=torch.int8)).shape == (0, 2)
        assert kernels.aggregate(rowptr, col, None, empty).shape == (2, 0)
        assert kernels.aggregate(rowptr[:1], col[:0], None, x).shape == (0, 3)


@each_backend
def test_threads_change_nothing(backend: str) -> None:
    generator = torch.Generator().manual_seed(0)
    offered, threads = IntegerRange(4, True), torch.get_num_threads()
    rowptr, col = graph(5000, 5000, 40_000, generator)
    x = PackedRows.pack(integers((5000, 100), offered, generator, False), offered)
    weight = PackedRows.pack(integers((100, 37), offered, generator, False), offered)
    results = []
    try:
        for count in (1, 2, 5):
            torch.set_num_threads(count)
            with kernels.using(backend):
                results.append((kernels.aggregate(rowptr, col, None, x), kernels.linear(x, weight)))
    finally:
        torch.set_num_threads(threads)
    for aggregated, product in results[1:]:
        assert torch.equal(aggregated, results[0][0])
        assert torch.equal(product, results[0][1])
