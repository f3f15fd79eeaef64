"""Products of few bits against int64, at sizes for which `kernels.linear` would use other kernels too."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mixq_rl import kernels
from mixq_rl.kernels import cpu
from mixq_rl.kernels.arguments import Matrix, Rescale
from mixq_rl.quantization import IntegerRange, PackedRows
from tests.mixq_rl.kernels.problems import Draw, check_requantized, draws, integers, requantization

ENGINES = {name: cpu.Engine(name) for name in cpu.instruction_sets()}
each_engine = pytest.mark.parametrize("engine", [name for name in ENGINES if ENGINES[name].is_bit_serial])
FEW_BITS = [(1, 1), (1, 2), (2, 1), (2, 2), (1, 4), (4, 1), (2, 4), (4, 2)]


def by_bits(engine: str, x: PackedRows, weight: PackedRows, zero_point: int = 0) -> Tensor:
    out = torch.empty(x.data.shape[0], weight.columns, dtype=torch.int32)
    ENGINES[engine].linear_by_bits(Matrix.of(x, zero_point), Matrix.of(weight), None, out)
    return out


@each_engine
@settings(deadline=None, max_examples=200)
@given(draw=draws, bits=st.sampled_from(FEW_BITS), rows=st.one_of(st.integers(0, 20), st.integers(60, 140)))
def test_equals_int64(engine: str, draw: Draw, bits: tuple[int, int], rows: int) -> None:
    generator = torch.Generator().manual_seed(draw.seed)
    offered = IntegerRange(bits[0], draw.range.signed)
    weight_range = IntegerRange(bits[1], draw.weight_range.signed)
    x = integers((rows, draw.width), offered, generator, draw.extreme)
    weight = integers((draw.width, draw.other), weight_range, generator, draw.extreme)
    expected = (x.long() - draw.x_zero_point) @ weight.long()
    packed, packed_weight = PackedRows.pack(x, offered), PackedRows.pack(weight, weight_range)
    assert torch.equal(by_bits(engine, packed, packed_weight, draw.x_zero_point).long(), expected)
    how, row = requantization(draw, expected, generator)
    data = torch.empty(rows, how.range.row_bytes(draw.other), dtype=how.range.storage_dtype)
    left, right = Matrix.of(packed, draw.x_zero_point), Matrix.of(packed_weight)
    ENGINES[engine].linear_by_bits(left, right, Rescale.of(how, row).contiguous(), data)
    check_requantized(PackedRows(data, draw.other, how.range), expected, how, row)


@each_engine
@pytest.mark.parametrize("bits", FEW_BITS)
@pytest.mark.parametrize("width", [63, 1433, 20_000])
def test_the_largest_codes_in_long_rows_do_not_overflow(engine: str, bits: tuple[int, int], width: int) -> None:
    ranges = [IntegerRange(number, False) for number in bits]
    x, weight = (
        PackedRows.pack(torch.full(shape, offered.maximum, dtype=torch.uint8), offered)
        for shape, offered in zip(((5, width), (width, 65)), ranges, strict=True)
    )
    got = by_bits(engine, x, weight)
    assert got.unique().tolist() == [width * ranges[0].maximum * ranges[1].maximum]


@each_engine
def test_bits_past_the_last_column_count_for_nothing(engine: str) -> None:
    for left, right in FEW_BITS:
        for signed in (False, True):
            ranges = IntegerRange(left, signed), IntegerRange(right, signed)
            for width in (1, 3, 7, 13, 33, 61, 65, 127):
                x, weight = (
                    PackedRows(torch.randint(0, 256, (rows, r.row_bytes(columns)), dtype=torch.uint8), columns, r)
                    for rows, columns, r in ((9, width, ranges[0]), (width, 37, ranges[1]))
                )
                expected = x.unpack().long() @ weight.unpack().long()
                assert torch.equal(by_bits(engine, x, weight).long(), expected)


@each_engine
def test_a_weight_is_laid_out_again_after_torch_has_changed_it(engine: str) -> None:
    offered = IntegerRange(2, True)
    generator = torch.Generator().manual_seed(0)
    x = PackedRows.pack(integers((7, 300), offered, generator, False), offered)
    weight = PackedRows.pack(integers((300, 64), offered, generator, False), offered)
    with kernels.using(engine):
        for write in (
            lambda: None,
            lambda: weight.data.fill_(27),
            lambda: weight.data[5:9].bitwise_not_(),
            lambda: weight.data.copy_(weight.data.flip(0)),
        ):
            write()
            expected = x.unpack().long() @ weight.unpack().long()
            assert torch.equal(kernels.linear(x, weight).long(), expected)
    # Of other shape, without a write.
    weight.data.resize_(600, 8)
    narrower = PackedRows(weight.data, 32, offered)
    wider = PackedRows(torch.cat([x.data, x.data], dim=1), 600, offered)
    for zero_point in (0, 3):
        expected = (wider.unpack().long() - zero_point) @ narrower.unpack().long()
        assert torch.equal(by_bits(engine, wider, narrower, zero_point).long(), expected)


@each_engine
def test_one_weight_serves_operands_of_different_bits(engine: str) -> None:
    generator = torch.Generator().manual_seed(0)
    offered = IntegerRange(2, True)
    weight = PackedRows.pack(integers((300, 64), offered, generator, False), offered)
    for bits in (1, 2, 4, 2, 1):
        x_range = IntegerRange(bits, True)
        x = PackedRows.pack(integers((7, 300), x_range, generator, False), x_range)
        assert torch.equal(by_bits(engine, x, weight).long(), x.unpack().long() @ weight.unpack().long())


@each_engine
def test_more_bits_are_refused(engine: str) -> None:
    four = PackedRows.pack(torch.ones(8, 8, dtype=torch.int8), IntegerRange(4, True))
    with pytest.raises(ValueError, match="too many bits"):
        by_bits(engine, four, four)
