"""The native quantization of features against torch's, bit for bit."""

import threading
from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from mixq_rl import kernels
from mixq_rl.errors import InputError, InvalidGraphError, ScaleError
from mixq_rl.quantization import IntegerRange, QTensor, Quantizer
from tests.mixq_rl.kernels.problems import RANGES

pytestmark = pytest.mark.filterwarnings("ignore:Sparse")  # torch announces that CSR is in beta

NATIVE = kernels.backends()[:-1]
each_backend = pytest.mark.parametrize("backend", kernels.backends())
each_native = pytest.mark.parametrize("backend", NATIVE)
EXTREMES = (0.0, -0.0, 1e-45, -1e-45, 3e38, -3e38, 1.0, -1.0, 0.5, -0.5, 1e-300, -1e-300, -1e-308, 1e300, -5e-324)


class Draw(NamedTuple):
    """What hypothesis draws of a problem; the numbers come from the seed."""

    rows: int
    columns: int
    range: IntegerRange
    zero_point: int
    by_row: bool
    by_column: bool
    exponent: int
    double: bool
    kind: str
    seed: int


draws = st.builds(
    Draw,
    rows=st.integers(0, 20),
    columns=st.one_of(st.integers(1, 80), st.integers(81, 300), st.sampled_from([16, 64, 128, 256])),
    range=st.sampled_from(RANGES),
    zero_point=st.sampled_from([0, 0, 1, -7, 128, 255, 256, -256]),
    by_row=st.booleans(),
    by_column=st.booleans(),
    exponent=st.one_of(st.integers(-12, 2), st.sampled_from([-1000, -200, -61, -59, 59, 61, 200, 1000])),
    double=st.booleans(),
    kind=st.sampled_from(["normal", "ties", "sparse", "extreme", "zero"]),
    seed=st.integers(0, 2**32 - 1),
)


def problem(draw: Draw) -> tuple[Tensor, Quantizer]:
    """Features, and a quantizer whose scales are powers of two (so that ties are many) or are not."""
    generator = torch.Generator().manual_seed(draw.seed)
    shape, dtype = (draw.rows, draw.columns), torch.float64 if draw.double else torch.float32
    scale = torch.tensor(2.0**draw.exponent, dtype=torch.float64)
    if draw.by_column:
        scale = scale * 2.0 ** torch.randint(-1, 2, (draw.columns,), generator=generator).double()
    if draw.seed % 2:
        scale = scale * (1 + torch.rand(scale.shape, generator=generator, dtype=torch.float64))
    x = torch.randn(shape, generator=generator, dtype=torch.float64) * min(2.0**draw.exponent, 1e30) * 50
    if draw.kind == "ties":
        x = ((torch.randint(-300, 300, shape, generator=generator) + 0.5) * scale).clamp(-3e38, 3e38)
        x = torch.nextafter(x, x * torch.randint(0, 3, shape, generator=generator)) if draw.double else x
    elif draw.kind == "sparse":
        x = x * (torch.rand(shape, generator=generator) < 0.02)
    elif draw.kind == "extreme":
        x = torch.tensor(EXTREMES, dtype=torch.float64)[torch.randint(len(EXTREMES), shape, generator=generator)]
        x = x if draw.double else x.clamp(-3e38, 3e38)
    elif draw.kind == "zero":
        x = torch.zeros(shape)
    x = x.to(dtype)
    if draw.rows:
        x[:: draw.seed % 5 + 1] *= 0.0
    exponent = None
    if draw.by_row:
        largest = float(x.abs().max()) if x.numel() else 1.0
        exponent = 30 - int(torch.frexp(torch.tensor(max(largest, 1e-300), dtype=torch.float64))[1])
        exponent = min(exponent, 1000)
    return x, Quantizer(draw.range, scale, 0 if draw.range.is_sign else draw.zero_point, exponent)


def check_same(got: QTensor, expected: QTensor) -> None:
    assert got.payload.data.dtype == expected.payload.data.dtype
    assert torch.equal(got.payload.data, expected.payload.data)  # also the bits past the last column
    assert (got.payload.columns, got.range, got.zero_point) == (
        expected.payload.columns,
        expected.range,
        got.zero_point,
    )
    assert torch.equal(got.scale, expected.scale)
    assert (got.row is None) == (expected.row is None)
    if got.row is not None and expected.row is not None:
        assert got.row.exponent == expected.row.exponent
        assert got.row.mantissa.dtype == torch.int32
        assert torch.equal(got.row.mantissa, expected.row.mantissa)


@each_native
@settings(deadline=None, max_examples=300)
@given(draw=draws)
def test_dense_features_get_the_integers_of_torch(backend: str, draw: Draw) -> None:
    x, quantizer = problem(draw)
    expected = quantizer.quantize(x)
    with kernels.using(backend):
        check_same(kernels.quantize(x, quantizer), expected)
        wide = torch.full((draw.rows, draw.columns + 3), torch.nan, dtype=x.dtype)
        wide[:, 1:-2] = x
        check_same(kernels.quantize(wide[:, 1:-2], quantizer), expected)  # what lies between the rows is not read
        check_same(kernels.quantize(x.t().contiguous().t(), quantizer), expected)


@each_backend
@settings(deadline=None, max_examples=150)
@given(draw=draws)
def test_sparse_features_get_the_integers_of_dense_ones(backend: str, draw: Draw) -> None:
    x, quantizer = problem(draw)
    expected = quantizer.quantize(x)
    csr, coo = x.to_sparse_csr(), x.to_sparse_coo()
    narrow = torch.sparse_csr_tensor(csr.crow_indices().int(), csr.col_indices().int(), csr.values(), x.shape)
    unsorted = torch.sparse_coo_tensor(coo.indices().flip(1), coo.values().flip(0), x.shape)
    with kernels.using(backend):
        for sparse in (csr, narrow, coo, unsorted):
            check_same(kernels.quantize(sparse, quantizer), expected)


@each_backend
@pytest.mark.parametrize("by_row", [False, True])
def test_explicit_zeros_empty_rows_and_repeated_entries(backend: str, by_row: bool) -> None:
    row, column = torch.tensor([3, 0, 0, 3, 0, 3, 5]), torch.tensor([1, 2, 2, 0, 0, 1, 69])
    value = torch.tensor([1.5, 0.25, 0.5, 0.0, -0.0, -3.0, 2.0])
    coo = torch.sparse_coo_tensor(torch.stack([row, column]), value, (7, 70))
    begin = torch.tensor([0, 3, 3, 3, 6, 6, 7, 7])
    order = torch.argsort(row, stable=True)
    csr = torch.sparse_csr_tensor(begin, column[order], value[order], (7, 70), check_invariants=False)
    nothing = torch.sparse_coo_tensor(torch.zeros(2, 0, dtype=torch.int64), torch.zeros(0), (7, 70))
    for offered in RANGES:
        scale = torch.tensor(1 / max(offered.maximum, 1), dtype=torch.float64)
        quantizer = Quantizer(offered, scale, 0, 20 if by_row else None)
        with kernels.using(backend):
            for sparse in (coo, csr, nothing, nothing.to_sparse_csr()):
                check_same(kernels.quantize(sparse, quantizer), quantizer.quantize(sparse.to_dense()))


@each_native
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_neighbours_of_every_boundary(backend: str, dtype: torch.dtype) -> None:
    for offered in RANGES:
        for scale in (1.0, 0.1, 1 / 3, 0.0123):
            quantizer = Quantizer(offered, torch.tensor(scale, dtype=torch.float64), 0)
            middle = ((torch.arange(-260, 261, dtype=torch.float64) + 0.5) * scale).to(dtype)
            far = torch.full_like(middle, torch.inf)
            x = torch.stack([torch.nextafter(middle, -far), middle, torch.nextafter(middle, far)])
            with kernels.using(backend):
                check_same(kernels.quantize(x, quantizer), quantizer.quantize(x))


@each_backend
def test_half_precision_and_views_of_other_kinds(backend: str) -> None:
    x = torch.randn(20, 70, generator=torch.Generator().manual_seed(0))
    quantizer = Quantizer(IntegerRange(4, True), torch.tensor(0.3, dtype=torch.float64))
    with kernels.using(backend):
        for half in (torch.float16, torch.bfloat16):
            expected = quantizer.quantize(x.to(half))
            check_same(kernels.quantize(x.to(half), quantizer), expected)
            check_same(kernels.quantize(x.to(half).to_sparse_csr(), quantizer), expected)
            check_same(kernels.quantize(x.to(half).to_sparse_coo(), quantizer), expected)
        check_same(kernels.quantize(x.requires_grad_(), quantizer), quantizer.quantize(x.detach()))
        turned = torch.complex(x, x).conj().imag  # negated when it is read
        check_same(kernels.quantize(turned, quantizer), quantizer.quantize(turned.clone()))
        row = x.detach()[:1].expand(20, 70)
        check_same(kernels.quantize(row, quantizer), quantizer.quantize(row))
        rows = torch.sparse_coo_tensor(torch.tensor([[1, 3]]), x.detach()[:2], (20, 70))  # of dense rows
        check_same(kernels.quantize(rows, quantizer), quantizer.quantize(rows.to_dense()))


@each_backend
@pytest.mark.parametrize("wrong", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("by_row", [False, True])
def test_a_row_that_is_not_finite_is_named(backend: str, wrong: float, dtype: torch.dtype, by_row: bool) -> None:
    for bits, signed in ((8, True), (1, True), (2, False)):
        scale = torch.tensor(0.5, dtype=torch.float64)
        quantizer = Quantizer(IntegerRange(bits, signed), scale, 0, 20 if by_row else None)
        for columns in (1, 63, 64, 150):
            x = torch.zeros(300, columns, dtype=dtype)
            x[217, columns - 1] = wrong
            x[250, 0] = 1e30  # too far for a mantissa: what is not finite comes first
            for given_x in (x, x.to_sparse_csr(), x.to_sparse_coo()):
                with kernels.using(backend), pytest.raises(InvalidGraphError, match="node 217 are not finite"):
                    kernels.quantize(given_x, quantizer)


@each_backend
def test_magnitudes_beyond_a_mantissa_are_refused(backend: str) -> None:
    quantizer = Quantizer(IntegerRange(4, True), torch.tensor(0.1, dtype=torch.float64), 0, 20)
    x = torch.ones(50, 30)
    for largest, refused in ((2.0**11 - 2.0**-13, False), (2.0**11, True), (3e38, True)):
        x[31, 7] = largest
        for given_x in (x, x.to_sparse_csr(), x.to_sparse_coo()):
            with kernels.using(backend):
                if not refused:
                    check_same(kernels.quantize(given_x, quantizer), quantizer.quantize(x))
                    continue
                with pytest.raises(ScaleError) as raised:
                    kernels.quantize(given_x, quantizer)
            with pytest.raises(ScaleError) as expected:
                quantizer.quantize(x)
            assert str(raised.value) == str(expected.value)


def csr(begin: list[int], column: list[int]) -> Tensor:
    value = torch.ones(len(column))
    return torch.sparse_csr_tensor(begin, column, value, (2, 5), check_invariants=False)


def coo(row: list[int], column: list[int]) -> Tensor:
    indices = torch.tensor([[0] * len(row), [0] * len(row)])
    x = torch.sparse_coo_tensor(indices, torch.ones(len(row)), (2, 5), check_invariants=False)
    x._indices().copy_(torch.tensor([row, column]))
    return x


@each_backend
def test_indices_out_of_bounds_are_refused(backend: str) -> None:
    quantizer = Quantizer(IntegerRange(8, True), torch.tensor(0.1, dtype=torch.float64))
    far = 2**62
    for x, message in (
        (csr([0, 1, 2], [0, 5]), "name column 5"),
        (csr([0, 1, 2], [-1, 0]), "name column -1"),
        (csr([0, 1, 2], [far, 0]), "name column"),
        (coo([0, 1], [0, far]), "name column"),
        (coo([0, 2], [0, 0]), r"name row 2, but there are rows 0\.\.\.1"),
        (coo([-far, 1], [0, 0]), "name row"),
        (csr([0, 3, 2], [0, 1]), "ascending places from 0 to 2"),
        (csr([1, 1, 2], [0, 1]), "ascending"),
        (csr([0, -far, 2], [0, 1]), "ascending"),
        (csr([0, far, 2], [0, 1]), "ascending"),
        (csr([0, 1, 1], [0, 1]), "ascending"),
        (csr([0, 2], [0, 1]), "do not fit"),
    ):
        with kernels.using(backend), pytest.raises(InputError, match=message):
            kernels.quantize(x, quantizer)
    resized = csr([0, 1, 2], [0, 1])
    resized.col_indices().untyped_storage().resize_(0)
    with kernels.using(backend), pytest.raises(InputError, match="the columns of x"):
        kernels.quantize(resized, quantizer)
    dense = torch.ones(4, 5)
    dense.untyped_storage().resize_(8)
    with kernels.using(NATIVE[0]), pytest.raises(InputError, match="x of shape"):
        kernels.quantize(dense, quantizer)


@each_native
def test_indices_that_change_meanwhile_are_never_followed_out_of_bounds(backend: str) -> None:
    quantizer = Quantizer(IntegerRange(2, False), torch.full((64,), 0.5, dtype=torch.float64))
    x = torch.eye(64).repeat(200, 1).to_sparse_csr()
    begins, columns, ended = x.crow_indices().numpy(), x.col_indices().numpy(), threading.Event()
    right = begins.copy(), columns.copy()

    def write() -> None:
        while not ended.is_set():
            columns[:], begins[1:-1] = 2**62, -(2**62)
            begins[:], columns[:] = right

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with kernels.using(backend):
            for _ in range(200):
                try:
                    kernels.quantize(x, quantizer)
                except InputError:
                    continue
    finally:
        ended.set()
        writer.join()


def test_what_is_traced_takes_torch() -> None:
    quantizer = Quantizer(IntegerRange(4, False), torch.tensor(0.2, dtype=torch.float64))
    x = torch.rand(9, 21, generator=torch.Generator().manual_seed(0))
    compiled = torch.compile(lambda x: kernels.quantize(x, quantizer).payload.data, backend="eager", fullgraph=True)
    assert torch.equal(compiled(x), quantizer.quantize(x).payload.data)
    with FakeTensorMode(allow_non_fake_inputs=True), pytest.raises(Exception, match="_local_scalar_dense"):
        kernels.quantize(torch.rand(3, 4), quantizer)  # torch's check for finite values needs data
