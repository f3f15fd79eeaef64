"""Requantization of sums up to the ends of int32, by factors, shifts and biases up to theirs."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mixq_rl import kernels
from mixq_rl.quantization import FixedPoint, IntegerRange, PackedRows, Requantization
from tests.mixq_rl.kernels.problems import RANGES, check_requantized

each_backend = pytest.mark.parametrize("backend", kernels.backends())
# Edges of weight 255 to the first node, so that sums reach the ends of int32; an edge of weight 255 to the second node
# and one of weight 1 to the third, so that sums in between are reached too.
FAR = 65_792  # the sum of three times -128 is -2^31
EDGES = torch.tensor([0] * FAR + [1, 2], dtype=torch.int32)
WEIGHTS = torch.tensor([255] * (FAR + 1) + [1], dtype=torch.uint8)


def aggregated(x: Tensor, how: Requantization, row: FixedPoint | None, far: int = FAR) -> tuple[PackedRows, Tensor]:
    """Requantized sums of three rows of int8, and the sums in int64; ``far``: edges to the first row."""
    col, weight = EDGES[FAR - far :], WEIGHTS[FAR - far :]
    rowptr = torch.tensor([0, col.numel()], dtype=torch.int32)
    sums = (255 * far * x[0].long() + 255 * x[1].long() + x[2].long()).unsqueeze(0)
    return kernels.aggregate_requantize(rowptr, col, weight, x, how, row=row), sums


@each_backend
@settings(deadline=None, max_examples=150)
@given(
    width=st.integers(1, 200),
    result=st.sampled_from(RANGES),
    size=st.integers(0, 31),
    factor_bits=st.integers(1, 31),
    power=st.booleans(),
    shift=st.integers(1, 40),
    row_shift=st.sampled_from([None, 30, 31, 45, 63]),
    columns=st.booleans(),
    bias_bits=st.integers(0, 12),
    zero_point=st.integers(-256, 256),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_factor_shift_and_bias(
    backend: str,
    width: int,
    result: IntegerRange,
    size: int,
    factor_bits: int,
    power: bool,
    shift: int,
    row_shift: int | None,
    columns: bool,
    bias_bits: int,
    zero_point: int,
    seed: int,
) -> None:
    """Powers of two among the factors give ties."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(-128, 128, (3, width), generator=generator)
    x[0] >>= max(0, min(8, 31 - size))
    x[1] >>= max(0, min(8, 16 - size))
    most = 2 ** (factor_bits - 1)
    factors = most + torch.randint(0, most, (width if columns else 1,), generator=generator)
    multiplier = torch.full_like(factors, most) if power else factors
    steps = torch.randint(-(2**bias_bits), 2**bias_bits + 1, (width,), generator=generator)
    fractions = torch.randint(0, 2**shift, (width,), generator=generator) if seed % 2 else torch.zeros(width).long()
    bias = (steps * 2**shift + fractions).clamp(-(2 ** (12 + shift)), 2 ** (12 + shift)) if bias_bits else None
    how = Requantization(
        multiplier if columns else multiplier[0],
        shift,
        row_shift or 0,
        bias,
        result,
        0 if result.is_sign else zero_point,
    )
    row = None
    if row_shift is not None:
        row = FixedPoint(torch.randint(2**30, 2**31 - 1, (1, 1), generator=generator).int(), 30)
    with kernels.using(backend):
        got, sums = aggregated(x.to(torch.int8), how, row)
    check_requantized(got, sums, how, row)


@each_backend
@pytest.mark.parametrize("bits", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("zero_point", [-3, 0, 1])
def test_sums_at_and_beside_the_thresholds(backend: str, bits: int, signed: bool, zero_point: int) -> None:
    """Where the last bit of a sum decides, from ties and beside them."""
    result = IntegerRange(bits, signed)
    zero_point = 0 if result.is_sign else zero_point
    for shift, factor in ((8, 1), (16, 2**8), (20, 2**12), (38, 2**30), (38, 3 * 2**28)):
        unit = 2**shift // factor
        places = torch.arange(-300, 301) * (unit // 2)
        wanted = torch.cat([places - 1, places, places + 1]).clamp(-(2**15), 2**15 - 1)
        high = ((wanted + 128) // 255).clamp(-128, 127)
        x = torch.stack([torch.zeros_like(wanted), high, (wanted - 255 * high).clamp(-128, 127)]).to(torch.int8)
        for columns in (False, True):
            multiplier = torch.full((wanted.numel(),), factor) if columns else torch.tensor(factor)
            how = Requantization(multiplier, shift, 0, None, result, zero_point)
            with kernels.using(backend):
                got, sums = aggregated(x, how, None, far=0)
            check_requantized(got, sums, how, None)


@each_backend
def test_sums_at_the_ends_of_int32(backend: str) -> None:
    x = torch.tensor([[127, 127, -128, -128, 0], [127, -128, -128, 0, 0], [127, 0, -128, 5, 0]], dtype=torch.int8)
    for result in RANGES:
        for factor in (0, 1, 2**20 + 1, 2**30, 2**31 - 1):
            for shift in (1, 15, 16, 17, 31, 32, 33, 40):
                for columns in (False, True):
                    multiplier = torch.full((5,), factor) if columns else torch.tensor(factor)
                    how = Requantization(multiplier, shift, 0, None, result, 0)
                    with kernels.using(backend):
                        got, sums = aggregated(x, how, None)
                    check_requantized(got, sums, how, None)


@each_backend
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("width", [1, 2, 3, 7, 9, 16, 31, 64, 65, 100, 127, 128, 192, 257, 300, 520, 1100])
def test_codes_are_written_where_those_of_the_same_bits_were_read(backend: str, bits: int, width: int) -> None:
    """By kernels that requantize sums before they reach memory."""
    generator = torch.Generator().manual_seed(width)
    nodes, edges = 12, 90
    rowptr = torch.tensor([0, 0, 1, 3, 6, 10, 15, 21, 28, 36, 36, 50, edges], dtype=torch.int32)
    col = torch.randint(0, nodes, (edges,), generator=generator).int()
    dense = torch.zeros(nodes, nodes, dtype=torch.int64)
    rows = torch.repeat_interleave(torch.arange(nodes), rowptr.diff())
    dense.index_put_((rows, col.long()), torch.ones(edges, dtype=torch.int64), accumulate=True)
    for signed in (False, True):
        offered, result = IntegerRange(bits, signed), IntegerRange(bits, not signed)
        data = torch.randint(0, 256, (nodes, offered.row_bytes(width)), dtype=torch.uint8, generator=generator)
        x = PackedRows(data.view(offered.storage_dtype), width, offered)
        sums = dense @ (x.unpack().long() - 1)
        bias = torch.randint(-(2**31), 2**31, (width,), generator=generator)
        row = FixedPoint(torch.randint(2**29, 2**30, (nodes, 1), generator=generator).int(), 30)
        for power in (False, True):
            multiplier = torch.tensor(2**29 if power else 2**29 + 12345)
            how = Requantization(multiplier, 30, 30, None if power else bias, result, 0)
            for given_row in (None, row):
                with kernels.using(backend):
                    got = kernels.aggregate_requantize(rowptr, col, None, x, how, x_zero_point=1, row=given_row)
                check_requantized(got, sums, how, given_row)
