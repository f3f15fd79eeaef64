"""The Triton kernels against int64, bit for bit: on a GPU where there is one, otherwise by Triton's interpreter."""

import os
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mixq_rl import kernels
from mixq_rl.kernels.partition import CHUNK, partition
from mixq_rl.quantization import FixedPoint, IntegerRange, PackedRows, Requantization
from tests.mixq_rl.kernels.problems import (
    RANGES,
    Draw,
    check_requantized,
    dense_aggregate,
    draws,
    integers,
    requantization,
)

pytest.importorskip("triton")

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
with pytest.MonkeyPatch.context() as patch:
    if DEVICE == "cpu":  # kernels decide when they are imported; other test modules need not be interpreted
        patch.setenv("TRITON_INTERPRET", "1")
    import mixq_rl.kernels.triton_backend  # noqa: F401

each_range = pytest.mark.parametrize("offered", RANGES, ids=lambda offered: f"{offered.bits}-{offered.signed}")
# On a GPU each example compiles kernels of its own.
interpreted = settings(deadline=None, max_examples=40 if DEVICE == "cpu" else 6)


def on_device(how: Requantization, row: FixedPoint | None) -> tuple[Requantization, FixedPoint | None]:
    bias = None if how.bias is None else how.bias.to(DEVICE)
    moved = Requantization(how.multiplier.to(DEVICE), how.shift, how.row_shift, bias, how.range, how.zero_point)
    return moved, None if row is None else FixedPoint(row.mantissa.to(DEVICE), row.exponent)


def packed(values: Tensor, offered: IntegerRange) -> PackedRows:
    return PackedRows.pack(values.to(DEVICE), offered)


def check_sums(got: Tensor, expected: Tensor) -> None:
    assert got.dtype == torch.int32
    assert torch.equal(got.cpu().long(), expected)


def check_fused(got: PackedRows, sums: Tensor, how: Requantization, row: FixedPoint | None) -> None:
    check_requantized(PackedRows(got.data.cpu(), got.columns, got.range), sums, how, row)


def graph(degree: Tensor, nodes: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A random graph in CSR."""
    rowptr = torch.zeros(degree.numel() + 1, dtype=torch.int32)
    rowptr[1:] = degree.cumsum(0)
    return rowptr, torch.randint(0, max(nodes, 1), (int(rowptr[-1]),), generator=generator).to(torch.int32)


def check_linear(draw: Draw) -> None:
    generator = torch.Generator().manual_seed(draw.seed)
    weight_range = IntegerRange(draw.weight_range.bits, True)
    x = integers((draw.rows, draw.width), draw.range, generator, draw.extreme)
    weight = integers((draw.width, draw.other), weight_range, generator, draw.extreme)
    expected = (x.long() - draw.x_zero_point) @ weight.long()
    how, row = requantization(draw, expected, generator)
    there, row_there = on_device(how, row)
    operands = packed(x, draw.range), packed(weight, weight_range)
    with kernels.using("triton"):
        bytewise = kernels.linear(x.to(DEVICE), weight.to(DEVICE), x_zero_point=draw.x_zero_point)
        bitwise = kernels.linear(*operands, x_zero_point=draw.x_zero_point)
        fused = kernels.linear_requantize(*operands, there, x_zero_point=draw.x_zero_point, row=row_there)
    check_sums(bytewise, expected)
    check_sums(bitwise, expected)
    check_fused(fused, expected, how, row)


def check_aggregate(draw: Draw, degree: Tensor, nodes: int) -> None:
    generator = torch.Generator().manual_seed(draw.seed)
    rowptr, col = graph(degree, nodes, generator)
    weight = integers((col.numel(),), draw.weight_range, generator, draw.extreme)
    x = integers((nodes, draw.width), draw.range, generator, draw.extreme)
    centred = x.long() - draw.x_zero_point
    expected = dense_aggregate(rowptr, col, weight.long() - draw.weight_zero_point, centred)
    plain = dense_aggregate(rowptr, col, torch.ones_like(col).long(), centred)
    how, row = requantization(draw, expected, generator)
    there, row_there = on_device(how, row)
    edges = rowptr.to(DEVICE), col.to(DEVICE)
    weighted = *edges, weight.to(DEVICE)
    features = packed(x, draw.range)
    zero_points = {"weight_zero_point": draw.weight_zero_point, "x_zero_point": draw.x_zero_point}
    with kernels.using("triton"):
        bytewise = kernels.aggregate(*weighted, x.to(DEVICE), **zero_points)
        bitwise = kernels.aggregate(*weighted, features, **zero_points)
        unweighted = kernels.aggregate(*edges, None, features, x_zero_point=draw.x_zero_point)
        fused = kernels.aggregate_requantize(*weighted, features, there, row=row_there, **zero_points)
    check_sums(bytewise, expected)
    check_sums(bitwise, expected)
    check_sums(unweighted, plain)
    check_fused(fused, expected, how, row)


@interpreted
@given(draw=draws)
def test_linear_equals_int64(draw: Draw) -> None:
    check_linear(draw)


@each_range
def test_linear_reads_every_range(offered: IntegerRange) -> None:
    check_linear(Draw(3, 300, 37, offered, offered, offered, 3, 0, False, True, True, 7))


def test_linear_without_inputs() -> None:
    check_linear(Draw(3, 0, 5, RANGES[3], RANGES[3], RANGES[3], 3, 0, False, True, True, 7))


def test_linear_of_several_tiles() -> None:
    check_linear(Draw(300, 150, 150, RANGES[7], RANGES[7], RANGES[6], 3, 0, True, True, True, 7))


def test_linear_sees_weights_that_were_written_to() -> None:
    x = torch.ones(2, 4, dtype=torch.int8, device=DEVICE)
    weight = torch.ones(4, 3, dtype=torch.int8, device=DEVICE)
    with kernels.using("triton"):
        assert kernels.linear(x, weight).unique().tolist() == [4]
        weight.fill_(2)
        assert kernels.linear(x, weight).unique().tolist() == [8]


@interpreted
@given(draw=draws, nodes=st.integers(1, 30), most=st.integers(0, 20))
def test_aggregate_equals_int64(draw: Draw, nodes: int, most: int) -> None:
    generator = torch.Generator().manual_seed(draw.seed)
    degree = torch.randint(0, most + 1, (draw.rows,), generator=generator)
    check_aggregate(draw, degree * torch.randint(0, 2, (draw.rows,), generator=generator), nodes)


@each_range
def test_aggregate_reads_every_range_in_rows_of_every_kind(offered: IntegerRange) -> None:
    degree = torch.tensor([3, 2 * CHUNK + 1, 0, 70, CHUNK, 64, 65, CHUNK + 1])
    check_aggregate(Draw(8, 136, 0, offered, offered, offered, 3, 1, True, True, True, 7), degree, 20)


def test_aggregate_without_nodes() -> None:
    check_aggregate(Draw(5, 33, 0, RANGES[3], RANGES[3], RANGES[3], 3, 1, True, True, True, 7), torch.zeros(5).int(), 0)


@pytest.mark.parametrize("weight_zero_point", [0, 127])
def test_hub_of_the_largest_products(weight_zero_point: int) -> None:
    degree = 5000
    rowptr = torch.tensor([0, 0, degree, degree + 1], dtype=torch.int32, device=DEVICE)
    col = torch.zeros(degree + 1, dtype=torch.int32, device=DEVICE)
    weight = torch.full((degree + 1,), -128, dtype=torch.int8, device=DEVICE)
    x = torch.full((1, 17), 255, dtype=torch.uint8, device=DEVICE)
    with kernels.using("triton"):
        sums = kernels.aggregate(rowptr, col, weight, x, weight_zero_point=weight_zero_point)
    product = (-128 - weight_zero_point) * 255
    assert sums[:, 0].tolist() == [0, degree * product, product]
    assert torch.equal(sums, sums[:, :1].expand(-1, 17))


def test_the_partition_holds_every_edge_once_and_follows_what_is_written() -> None:
    degree = torch.tensor([0, 2 * CHUNK, 3, CHUNK, 70, 5000, 0])
    rowptr = torch.zeros(8, dtype=torch.int32)
    rowptr[1:] = degree.cumsum(0)
    edges = int(rowptr[-1])
    parts = partition(rowptr, edges)
    assert partition(rowptr, edges) is parts
    assert parts.hubs.tolist() == [5, 1]
    assert parts.wide.target.tolist() == [3, 4]
    assert parts.narrow.target.tolist() == [2, 0, 6]
    pieces = [parts.narrow, parts.wide, parts.chunks]
    runs = sorted(run for piece in pieces for run in zip(piece.start.tolist(), piece.stop.tolist(), strict=True))
    assert [edge for start, stop in runs for edge in range(start, stop)] == list(range(edges))
    rowptr.clamp_(max=3)
    assert partition(rowptr, 3).hubs.numel() == 0


def test_indices_that_were_changed_unnoticed_do_not_lead_out_of_bounds() -> None:
    rowptr = torch.tensor([0, 2, 3], dtype=torch.int32, device=DEVICE)
    col = torch.tensor([0, 1, 1], dtype=torch.int32, device=DEVICE)
    x = torch.tensor([[1], [2]], dtype=torch.int8, device=DEVICE)
    with kernels.using("triton"):
        assert kernels.aggregate(rowptr, col, None, x).tolist() == [[3], [2]]
        col.data[1], rowptr.data[1] = 2**31 - 1, -7
        assert kernels.aggregate(rowptr, col, None, x).tolist() == [[3], [2]]
        col[1] = 0  # recorded: the new graph counts
        rowptr[1] = 2
        assert kernels.aggregate(rowptr, col, None, x).tolist() == [[2], [2]]


def test_partitions_of_anything_hold_edges_that_exist() -> None:
    rowptr = torch.tensor([-5, 4, 2, 2**31 - 1, -(2**31)], dtype=torch.int32, device=DEVICE)
    parts = partition(rowptr, 6)
    runs = zip(parts.pieces.target.tolist(), parts.pieces.start.tolist(), parts.pieces.stop.tolist(), strict=True)
    assert sorted(runs) == [(0, 0, 4), (1, 4, 4), (2, 4, 6), (3, 6, 6)]


def test_tensors_of_the_cpu_need_the_interpreter() -> None:
    program = (
        "import torch; from mixq_rl import kernels\n"
        "x = torch.ones(2, 2, dtype=torch.int8)\n"
        "with kernels.using('triton'): kernels.linear(x, x)\n"
    )
    compiled = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, env=compiled)
    assert ended.returncode == 1
    assert "InputError: Triton executes CUDA tensors" in ended.stderr


def test_the_error_without_triton_says_what_to_install() -> None:
    program = "import sys; sys.modules['triton'] = None\nfrom mixq_rl.kernels import triton_backend\n"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "pip install triton" in ended.stderr
