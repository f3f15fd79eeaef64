import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.utils import softmax

from mixq_rl.nn.softmax import IntegerSoftmax, neighbour_softmax
from mixq_rl.quantization import IntegerRange, Quantizer
from mixq_rl.sparse import CSR
from tests.conftest import ALL_BITS

ONE = 2**15


def rows(sizes: list[int]) -> CSR:
    rowptr = torch.tensor([0, *torch.tensor(sizes).cumsum(0).tolist()], dtype=torch.int32)
    return CSR(rowptr, torch.zeros(sum(sizes), dtype=torch.int32), 1)


def quantizer(bits: int, signed: bool, scale: float) -> Quantizer:
    return Quantizer(IntegerRange(bits, signed), torch.tensor(scale, dtype=torch.float64))


def draw(offered: IntegerRange, entries: int, heads: int, seed: int) -> torch.Tensor:
    codes = torch.randint(0, 2**offered.bits, (entries, heads), generator=torch.Generator().manual_seed(seed))
    return (codes * offered.step + offered.minimum).to(offered.dtype)


def exactly(softmax: IntegerSoftmax, logits: list[int]) -> list[int]:
    """The coefficients of one row by rational arithmetic."""
    step = softmax.logit_range.step
    table = softmax.exponential.tolist()
    terms = [table[(max(logits) - logit) // step] for logit in logits]
    quotients = [Fraction(term * softmax.reciprocal, 2**20 * sum(terms)) for term in terms]
    return [min(round(quotient), softmax.range.maximum) for quotient in quotients]  # half to even


def check(softmax: IntegerSoftmax, csr: CSR, logit: torch.Tensor) -> None:
    got = softmax(logit, csr)
    assert got.dtype == torch.uint8
    for row in range(csr.num_rows):
        entries = slice(int(csr.rowptr[row]), int(csr.rowptr[row + 1]))
        for head in range(logit.shape[1]):
            if logit[entries, head].numel():
                assert got[entries, head].tolist() == exactly(softmax, logit[entries, head].tolist())


@settings(deadline=None, max_examples=200)
@given(
    sizes=st.lists(st.integers(0, 9), min_size=1, max_size=6),
    heads=st.integers(1, 3),
    logit_bits=st.integers(1, 8),
    bits=st.integers(1, 8),
    logit_scale=st.floats(1e-4, 30),
    scale=st.floats(1e-4, 2),
    seed=st.integers(0, 10_000),
)
def test_equals_exact_rational_arithmetic(
    sizes: list[int], heads: int, logit_bits: int, bits: int, logit_scale: float, scale: float, seed: int
) -> None:
    softmax = IntegerSoftmax.from_quantizers(quantizer(logit_bits, True, logit_scale), quantizer(bits, False, scale))
    check(softmax, rows(sizes), draw(softmax.logit_range, sum(sizes), heads, seed))


@settings(deadline=None, max_examples=200)
@given(
    entries=st.lists(st.sampled_from([0, 1, ONE // 4, ONE // 2, ONE]), min_size=3, max_size=3),
    half_steps=st.integers(1, 2**9),
    sizes=st.lists(st.sampled_from([1, 2, 4, 8]), min_size=1, max_size=4),
    bits=st.integers(1, 8),
    seed=st.integers(0, 10_000),
)
def test_ties_go_to_the_even_integer(
    entries: list[int], half_steps: int, sizes: list[int], bits: int, seed: int
) -> None:
    # Terms that are powers of 2 and a reciprocal of few bits: quotients often lie half way.
    exponential = torch.tensor([ONE, *entries])
    softmax = IntegerSoftmax(exponential, half_steps << 19, IntegerRange(2, True), IntegerRange(bits, False))
    check(softmax, rows(sizes), draw(softmax.logit_range, sum(sizes), 1, seed))


def test_ties_known_by_hand() -> None:
    for reciprocal, expected in ((1 << 20, 0), (3 << 20, 2), (5 << 20, 2), (7 << 20, 4)):
        softmax = IntegerSoftmax(torch.tensor([ONE, 0]), reciprocal, IntegerRange(1, True), IntegerRange(8, False))
        assert softmax(torch.ones(2, 1, dtype=torch.int8), rows([2])).flatten().tolist() == [expected] * 2


@pytest.mark.parametrize("bits", ALL_BITS)
def test_table_is_the_exponential_of_every_distance(bits: int) -> None:
    softmax = IntegerSoftmax.from_quantizers(quantizer(bits, True, 0.3), quantizer(8, False, 1 / 255))
    step = 2 if bits == 1 else 1
    expected = [round(ONE * math.exp(-0.3 * step * distance)) for distance in range(2**bits)]
    assert softmax.exponential.tolist() == expected
    assert softmax.reciprocal == 2**20 * 255


def test_float_softmax_equals_pytorch_geometric() -> None:
    csr = rows([3, 0, 1, 5])
    logit = 20 * torch.randn(9, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(neighbour_softmax(logit, csr), softmax(logit, csr.row, num_nodes=4))


def test_eight_bits_come_close_to_floating_point() -> None:
    csr = rows([3, 1, 8])
    offered = quantizer(8, True, 0.05)
    logit = draw(offered.range, 12, 2, seed=0)
    got = IntegerSoftmax.from_quantizers(offered, quantizer(8, False, 1 / 255))(logit, csr)
    torch.testing.assert_close(got / 255.0, neighbour_softmax(logit * 0.05, csr), rtol=0, atol=0.5 / 255 + 1e-4)


def test_many_equal_neighbours_share_out() -> None:
    count = 100_000
    softmax = IntegerSoftmax.from_quantizers(quantizer(8, True, 0.1), quantizer(8, False, 1e-6))
    got = softmax(torch.full((count, 1), 127, dtype=torch.int8), rows([count]))
    assert got.unique().tolist() == [10]  # 1 / 100,000 in steps of a millionth


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"exponential": torch.tensor([ONE, 0.5])}, TypeError, "is int64"),
        ({"exponential": torch.tensor([ONE, 3, 2])}, ValueError, "has 2 entries of at most 15 bits"),
        ({"exponential": torch.tensor([ONE, -1])}, ValueError, "has 2 entries"),
        ({"exponential": torch.tensor([ONE, ONE + 1])}, ValueError, "has 2 entries"),
        ({"exponential": torch.tensor([ONE - 1, 0])}, ValueError, "begins with 1"),
        ({"reciprocal": 0}, ValueError, "have a positive scale"),
        ({"reciprocal": 2**41}, ValueError, "have a positive scale"),
        ({"range": IntegerRange(4, True)}, ValueError, "are unsigned"),
    ],
)
def test_tables_out_of_bounds_are_refused(changes: dict[str, object], error: type[Exception], message: str) -> None:
    fields = {
        "exponential": torch.tensor([ONE, 7]),
        "reciprocal": 5,
        "logit_range": IntegerRange(1, True),
        "range": IntegerRange(4, False),
    }
    with pytest.raises(error, match=message):
        IntegerSoftmax(**{**fields, **changes})  # type: ignore[arg-type]


@settings(deadline=None)
@given(
    degree=st.integers(1, 3000),
    bits=st.integers(1, 8),
    scale=st.floats(1e-5, 2),
    seed=st.integers(0, 1000),
)
def test_coefficients_never_add_up_to_more_than_their_bound(degree: int, bits: int, scale: float, seed: int) -> None:
    softmax = IntegerSoftmax.from_quantizers(quantizer(8, True, 0.02), quantizer(bits, False, scale))
    logit = draw(IntegerRange(8, True), degree, 2, seed)
    assert softmax(logit, rows([degree])).long().sum(dim=0).max() <= softmax.greatest_sum
