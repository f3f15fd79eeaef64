import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.utils import softmax

from mixq_rl.nn.softmax import MEAN_BITS, IntegerSoftmax, numerators, row_sums, weighted_mean
from mixq_rl.quantization import IntegerRange, Quantizer
from mixq_rl.sparse import CSR
from tests.conftest import ALL_BITS


def rows(sizes: list[int]) -> CSR:
    rowptr = torch.tensor([0, *torch.tensor(sizes).cumsum(0).tolist()], dtype=torch.int32)
    return CSR(rowptr, torch.zeros(sum(sizes), dtype=torch.int32), 1)


def quantizer(bits: int, signed: bool, scale: float) -> Quantizer:
    return Quantizer(IntegerRange(bits, signed), torch.tensor(scale, dtype=torch.float64))


def draw(offered: IntegerRange, entries: int, heads: int, seed: int) -> torch.Tensor:
    codes = torch.randint(0, 2**offered.bits, (entries, heads), generator=torch.Generator().manual_seed(seed))
    return (codes * offered.step + offered.minimum).to(offered.dtype)


@settings(deadline=None, max_examples=200)
@given(
    sizes=st.lists(st.integers(0, 9), min_size=1, max_size=6),
    heads=st.integers(1, 3),
    logit_bits=st.integers(1, 8),
    bits=st.integers(1, 8),
    logit_scale=st.floats(1e-4, 30),
    scale=st.floats(1e-4, 4),
    seed=st.integers(0, 10_000),
)
def test_numerators_are_the_table_at_the_distance_to_the_greatest_of_the_row(
    sizes: list[int], heads: int, logit_bits: int, bits: int, logit_scale: float, scale: float, seed: int
) -> None:
    made = IntegerSoftmax.from_quantizers(quantizer(logit_bits, True, logit_scale), quantizer(bits, False, scale))
    csr, logit = rows(sizes), draw(made.logit_range, sum(sizes), heads, seed)
    got = made(logit, csr)
    assert got.dtype == torch.uint8
    table, step = made.table.tolist(), made.logit_range.step
    for start, end in zip(csr.rowptr[:-1].tolist(), csr.rowptr[1:].tolist(), strict=True):
        for head in range(heads if end > start else 0):
            own = logit[start:end, head].tolist()
            expected = [table[(max(own) - each) // step] for each in own]
            assert got[start:end, head].tolist() == expected
            assert sum(expected) >= 1  # the denominator


@pytest.mark.parametrize("bits", ALL_BITS)
def test_table_is_the_exponential_of_every_distance(bits: int) -> None:
    made = IntegerSoftmax.from_quantizers(quantizer(bits, True, 0.3), quantizer(8, False, 1 / 255))
    step = 2 if bits == 1 else 1
    assert made.table.tolist() == [round(255 * math.exp(-0.3 * step * distance)) for distance in range(2**bits)]


def test_the_greatest_logit_counts_at_any_scale() -> None:
    made = IntegerSoftmax.from_quantizers(quantizer(2, True, 0.3), quantizer(1, False, 3.0))
    assert made.table.tolist() == [1, 0, 0, 0]


def test_float_softmax_equals_pytorch_geometric() -> None:
    csr = rows([3, 0, 1, 5])
    logit = 20 * torch.randn(9, 2, generator=torch.Generator().manual_seed(0))
    got = numerators(logit, csr)
    assert (got.max(), got[3].tolist()) == (1, [1, 1])
    torch.testing.assert_close(got / row_sums(got, csr)[csr.row], softmax(logit, csr.row, num_nodes=4))


@pytest.mark.parametrize("degree", [3, 1000])
def test_eight_bits_come_close_to_floating_point_at_any_degree(degree: int) -> None:
    csr, offered = rows([degree]), quantizer(8, True, 0.02)
    logit = draw(offered.range, degree, 2, seed=0)
    got = IntegerSoftmax.from_quantizers(offered, quantizer(8, False, 1 / 255))(logit, csr).double()
    expected = softmax(logit * 0.02, csr.row)
    torch.testing.assert_close(got / row_sums(got, csr), expected, rtol=0.05, atol=0.01 / degree, check_dtype=False)


@settings(deadline=None, max_examples=300)
@given(
    terms=st.lists(st.tuples(st.integers(0, 255), st.integers(-510, 510)), min_size=1, max_size=30),
    copies=st.integers(1, 500),
)
def test_weighted_means_equal_exact_rational_arithmetic(terms: list[tuple[int, int]], copies: int) -> None:
    weights = copies * (1 + sum(weight for weight, _ in terms))
    total = copies * sum(weight * value for weight, value in terms)
    got = weighted_mean(torch.tensor([[total]], dtype=torch.int32), torch.tensor([[weights]]))
    assert got.item() == round(Fraction(total << MEAN_BITS, weights))  # half to even
    assert got.item() == round(total * 2.0**MEAN_BITS / weights)  # as fake quantization in float64 computes it
    assert got.dtype == torch.int32


@pytest.mark.parametrize(("total", "expected"), [(1, 0), (3, 2), (5, 2), (7, 4), (-1, 0), (-3, -2)])
def test_ties_go_to_the_even_integer(total: int, expected: int) -> None:
    halves = torch.tensor([[2 << MEAN_BITS]])
    assert weighted_mean(torch.tensor([[total]], dtype=torch.int32), halves).item() == expected


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"table": torch.tensor([15, 3])}, TypeError, "is torch.uint8"),
        ({"table": torch.tensor([15, 3, 2], dtype=torch.uint8)}, ValueError, "has 2 entries of at most 15"),
        ({"table": torch.tensor([15, 16], dtype=torch.uint8)}, ValueError, "has 2 entries of at most 15"),
        ({"table": torch.tensor([0, 3], dtype=torch.uint8)}, ValueError, "begins with at least 1"),
        ({"range": IntegerRange(4, True)}, ValueError, "are unsigned"),
    ],
)
def test_tables_out_of_bounds_are_refused(changes: dict[str, object], error: type[Exception], message: str) -> None:
    fields = {
        "table": torch.tensor([15, 7], dtype=torch.uint8),
        "logit_range": IntegerRange(1, True),
        "range": IntegerRange(4, False),
    }
    with pytest.raises(error, match=message):
        IntegerSoftmax(**{**fields, **changes})  # type: ignore[arg-type]
