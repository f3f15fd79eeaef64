"""Pipelines against the same operations one by one, in plain torch."""

import gc
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mixq_rl import kernels
from mixq_rl.errors import InputError
from mixq_rl.kernels import AggregateCall, JoinCall, LinearCall, Pipeline, cpu
from mixq_rl.quantization import Alignment, FixedPoint, IntegerRange, PackedRows, Requantization
from tests.mixq_rl.kernels.problems import Draw, draws, graph, integers, requantization

pytestmark = pytest.mark.skipif(not cpu.instruction_sets(), reason="the native kernels are not built")
each_backend = pytest.mark.parametrize("backend", cpu.instruction_sets())


def alignment(draw: Draw, sources: int, columns: int, generator: torch.Generator) -> Alignment:
    """Multipliers of either sign, some of them powers of two, so that there are ties."""
    scales = []
    for _ in range(sources):
        shape = (columns,) if draw.column_scales and columns else ()
        scale = torch.randn(shape, generator=generator).double() * draw.result.maximum / 100
        scales.append(scale if draw.extreme else torch.full(shape, 2.0 ** -(1 + draw.seed % 3), dtype=torch.float64))
    bias = torch.randn(columns, generator=generator).double() if draw.row_scales and columns else None
    return Alignment.from_scales(scales, bias, draw.result, draw.x_zero_point % 5)


def expected_join(parts: list[Tensor], alignments: tuple[Alignment, ...], concatenates: bool) -> Tensor:
    if len(alignments) == 1:
        return alignments[0](parts)
    brought = [each([part]) for each, part in zip(alignments, parts, strict=True)]
    return torch.cat(brought, dim=1) if concatenates else torch.stack(brought).amax(dim=0)


@each_backend
@settings(deadline=None, max_examples=120)
@given(draw=draws, join=st.sampled_from(["add", "maximum", "concatenate"]), rows=st.integers(0, 40))
def test_equals_the_operations_one_by_one(backend: str, draw: Draw, join: str, rows: int) -> None:
    generator = torch.Generator().manual_seed(draw.seed)
    weight_range = IntegerRange(draw.weight_range.bits, True)
    x = integers((rows, draw.width), draw.range, generator, draw.extreme)
    weight = integers((draw.width, draw.other), weight_range, generator, draw.extreme)
    rowptr, col = graph(rows, rows, 4 * rows, generator)
    sums = (x.long() - draw.x_zero_point) @ weight.long()
    first, row = requantization(draw, sums, generator)
    product = first(sums.int(), row)
    with kernels.using("reference"):
        summed = kernels.aggregate(rowptr, col, None, product, x_zero_point=first.zero_point)
    second, row_of_graph = requantization(draw, summed.long(), generator)
    aggregate = second(summed, row_of_graph)
    parts = [each.short() - how.zero_point for each, how in ((product, first), (aggregate, second))]
    counts = (2,) if join == "add" else (1, 1)
    alignments = tuple(alignment(draw, count, draw.other, generator) for count in counts)
    joined = expected_join(parts, alignments, join == "concatenate")

    calls = (
        LinearCall(0, PackedRows.pack(weight, weight_range), first, draw.x_zero_point, row is not None),
        AggregateCall(1, rowptr, col, None, 0, second, first.zero_point, row_of_graph),
        JoinCall((1, 2), (first.zero_point, second.zero_point), alignments, join == "concatenate"),
    )
    for length, expected in ((1, product), (2, aggregate), (3, joined)):
        pipeline = Pipeline(cpu.engine(backend), draw.width, draw.range, calls[:length])
        for _ in range(2):
            found = pipeline(PackedRows.pack(x, draw.range), row)
            assert torch.equal(found.unpack(), expected)
            assert torch.equal(found.data, PackedRows.pack(expected, found.range).data)


def chain(length: int, width: int = 64, rows: int = 1000) -> tuple[Pipeline, PackedRows]:
    offered = IntegerRange(8, True)
    scale = torch.tensor(1e-3, dtype=torch.float64)
    how = Requantization.from_scales(scale, None, None, offered, 0)
    weight = PackedRows.pack(torch.randint(-128, 128, (width, width)).to(torch.int8), offered)
    calls = [LinearCall(number, weight, how, 0, row_scaled=False) for number in range(length)]
    x = PackedRows.pack(torch.randint(-128, 128, (rows, width)).to(torch.int8), offered)
    return Pipeline(cpu.engine(cpu.instruction_sets()[0]), width, offered, calls), x


def test_a_chain_takes_the_memory_of_two_results() -> None:
    for length, results in ((1, 0), (2, 1), (3, 2), (9, 2)):
        pipeline, x = chain(length)
        assert results * x.nbytes <= pipeline.memory(1000) <= results * (x.nbytes + 64)


@pytest.mark.parametrize("widths", [(64, 64, 64), (64, 2, 64), (64, 64, 2, 64), (4, 64)])
def test_idle_memory_that_makes_room_for_a_large_result_is_not_in_use(widths: tuple[int, ...]) -> None:
    rows, offered = 300_000, IntegerRange(8, True)
    how = Requantization.from_scales(torch.tensor(1e-2, dtype=torch.float64), None, None, offered, 0)
    shapes = list(pairwise(widths))
    weights = [PackedRows.pack(torch.randint(-128, 128, shape).to(torch.int8), offered) for shape in shapes]
    calls = [LinearCall(number, weight, how, 0, row_scaled=False) for number, weight in enumerate(weights)]
    pipeline = Pipeline(cpu.engine(cpu.instruction_sets()[0]), widths[0], offered, calls)
    for _ in range(3):
        x = PackedRows.pack(torch.randint(-128, 128, (rows, widths[0])).to(torch.int8), offered)
        expected = x
        for weight in weights:
            expected = kernels.linear_requantize(expected, weight, how)
        assert torch.equal(pipeline(x).data, expected.data)


def test_a_result_outlives_the_pipeline_and_is_not_written_again() -> None:
    pipeline, x = chain(3)
    first = pipeline(x)
    kept = first.data.clone()
    pipeline(PackedRows(~x.data, x.columns, x.range))
    del pipeline
    gc.collect()
    assert torch.equal(first.data, kept)


def test_wrong_inputs_are_refused() -> None:
    pipeline, x = chain(2)
    with pytest.raises(InputError, match="this pipeline takes 64 columns of"):
        pipeline(PackedRows(x.data[:, :32].contiguous(), 32, x.range))
    with pytest.raises(InputError, match="have no scales"):
        pipeline(x, FixedPoint(torch.ones(1000, 1, dtype=torch.int32), 0))
    x.data.untyped_storage().resize_(100)
    with pytest.raises(InputError, match="the storage was resized"):
        pipeline(x)


def test_calls_that_do_not_fit_are_refused() -> None:
    offered = IntegerRange(4, True)
    how = Requantization.from_scales(torch.tensor(0.1, dtype=torch.float64), None, None, offered, 0)
    weight = PackedRows.pack(torch.ones(6, 3, dtype=torch.int8), offered)
    engine = cpu.engine(cpu.instruction_sets()[0])
    rowptr, col = torch.tensor([0, 1, 2], dtype=torch.int32), torch.tensor([0, 1], dtype=torch.int32)
    aligned = Alignment.from_scales([torch.ones((), dtype=torch.float64)] * 2, None, offered, 0)
    linear, aggregate = LinearCall(0, weight, how, 0, False), AggregateCall(0, rowptr, col, None, 0, how, 0, None)
    refused: list[tuple[str, list[kernels.Call]]] = [
        ("a weight of 6 rows cannot be multiplied by 3 columns", [linear, LinearCall(1, weight, how, 0, False)]),
        ("only rows of a pipeline's input can have scales", [aggregate, LinearCall(1, weight, how, 0, True)]),
        ("values of .* columns cannot be added", [linear, JoinCall((0, 1), (0, 0), (aligned,), False)]),
        ("do not have a multiplier each", [JoinCall((0,), (0,), (aligned,), False)]),
        ("x has offset 5000", [LinearCall(0, weight, how, -5000 - 8, False)]),
    ]
    for message, calls in refused:
        with pytest.raises(InputError, match=message):
            Pipeline(engine, 6, offered, calls)
    pipeline = Pipeline(engine, 6, offered, [aggregate, JoinCall((0, 1), (0, 0), (aligned,), False)])
    x = PackedRows.pack(torch.ones(2, 6, dtype=torch.int8), offered)
    assert pipeline(x).shape == (2, 6)
    with pytest.raises(InputError, match="another number of nodes"):
        pipeline(PackedRows.pack(torch.ones(3, 6, dtype=torch.int8), offered))
