import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mixq_rl import kernels

DTYPES = st.sampled_from([torch.int8, torch.uint8])


def integers(shape: tuple[int, ...], dtype: torch.dtype, generator: torch.Generator, extreme: bool) -> Tensor:
    info = torch.iinfo(dtype)
    if extreme:
        ends = torch.tensor([info.min, info.max], dtype=dtype)
        return ends[torch.randint(0, 2, shape, generator=generator)]
    return torch.randint(info.min, info.max + 1, shape, generator=generator).to(dtype)


def dense_aggregate(rowptr: Tensor, col: Tensor, weight: Tensor, x: Tensor, z_a: int, z_x: int) -> Tensor:
    out = torch.zeros(rowptr.numel() - 1, x.shape[1], dtype=torch.int64)
    for row in range(rowptr.numel() - 1):
        for edge in range(int(rowptr[row]), int(rowptr[row + 1])):
            out[row] += (int(weight[edge]) - z_a) * (x[int(col[edge])].long() - z_x)
    return out


@settings(deadline=None)
@given(
    st.integers(0, 20),
    st.integers(0, 300),
    st.integers(0, 20),
    DTYPES,
    st.booleans(),
    st.integers(-3, 255),
    st.integers(0),
)
def test_linear_equals_int64(
    rows: int, inner: int, columns: int, dtype: torch.dtype, extreme: bool, zero_point: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed % 2**32)
    x = integers((rows, inner), dtype, generator, extreme)
    weight = integers((inner, columns), torch.int8, generator, extreme)
    got = kernels.linear(x, weight, x_zero_point=zero_point)
    assert got.dtype == torch.int32
    assert torch.equal(got.long(), (x.long() - zero_point) @ weight.long())


def test_linear_at_the_extremes_of_cora() -> None:
    x, weight = torch.full((3, 1433), 255, dtype=torch.uint8), torch.full((1433, 128), -128, dtype=torch.int8)
    assert kernels.linear(x, weight).unique().tolist() == [-1433 * 255 * 128]


def test_linear_takes_non_contiguous_operands() -> None:
    generator = torch.Generator().manual_seed(0)
    x = integers((9, 6), torch.uint8, generator, False).t()
    weight = integers((5, 9), torch.int8, generator, False).t()
    assert torch.equal(kernels.linear(x, weight).long(), x.long() @ weight.long())


@settings(deadline=None)
@given(
    nodes=st.integers(1, 12),
    edges=st.integers(0, 60),
    features=st.integers(1, 20),
    weight_dtype=DTYPES,
    x_dtype=DTYPES,
    extreme=st.booleans(),
    z_a=st.integers(-128, 255),
    z_x=st.integers(-128, 255),
    seed=st.integers(0, 2**31),
)
def test_aggregate_equals_int64(
    nodes: int,
    edges: int,
    features: int,
    weight_dtype: torch.dtype,
    x_dtype: torch.dtype,
    extreme: bool,
    z_a: int,
    z_x: int,
    seed: int,
) -> None:
    generator = torch.Generator().manual_seed(seed)
    row = torch.randint(0, nodes, (edges,), generator=generator).sort().values
    rowptr = torch.zeros(nodes + 1, dtype=torch.int32)
    rowptr[1:] = torch.bincount(row, minlength=nodes).cumsum(0)
    col = torch.randint(0, nodes, (edges,), generator=generator).to(torch.int32)
    weight = integers((edges,), weight_dtype, generator, extreme)
    x = integers((nodes, features), x_dtype, generator, extreme)
    got = kernels.aggregate(rowptr, col, weight, x, weight_zero_point=z_a, x_zero_point=z_x)
    assert got.dtype == torch.int32
    assert torch.equal(got.long(), dense_aggregate(rowptr, col, weight, x, z_a, z_x))
    ones = torch.ones(edges, dtype=torch.uint8)
    unweighted = kernels.aggregate(rowptr, col, None, x, x_zero_point=z_x)
    assert torch.equal(unweighted.long(), dense_aggregate(rowptr, col, ones, x, 0, z_x))


def test_aggregate_of_a_hub() -> None:
    degree = 5000
    rowptr = torch.tensor([0, degree, degree], dtype=torch.int32)
    col = torch.zeros(degree, dtype=torch.int32)
    weight, x = torch.full((degree,), -128, dtype=torch.int8), torch.full((2, 3), 255, dtype=torch.uint8)
    assert kernels.aggregate(rowptr, col, weight, x).tolist() == [[-128 * 255 * degree] * 3, [0] * 3]


def test_other_dtypes_and_shapes_are_refused() -> None:
    rowptr, col = torch.tensor([0, 1], dtype=torch.int32), torch.tensor([0], dtype=torch.int32)
    x = torch.ones(1, 2, dtype=torch.int8)
    with pytest.raises(TypeError, match="int8 or uint8"):
        kernels.linear(torch.ones(2, 2), torch.ones(2, 2, dtype=torch.int8))
    with pytest.raises(ValueError, match="inner dimensions must agree"):
        kernels.linear(x, torch.ones(3, 2, dtype=torch.int8))
    with pytest.raises(TypeError, match="int32 rowptr and col"):
        kernels.aggregate(rowptr.long(), col, None, x)
    with pytest.raises(TypeError, match=r"not torch.float32 and None"):
        kernels.aggregate(rowptr, col, None, x.float())
    with pytest.raises(ValueError, match=r"weight \[edges\]"):
        kernels.aggregate(rowptr, col, torch.ones(2, dtype=torch.int8), x)
