import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mixq_rl import kernels
from mixq_rl.errors import InputError
from mixq_rl.quantization import FixedPoint, IntegerRange, PackedRows, QTensor
from tests.mixq_rl.kernels.problems import Draw, draws, integers


def drawn(draw: Draw, rows: int, scale: float) -> QTensor:
    generator = torch.Generator().manual_seed(draw.seed)
    packed = PackedRows.pack(integers((rows, draw.other), draw.range, generator, draw.extreme), draw.range)
    zero_point = 0 if draw.range.is_sign else draw.x_zero_point
    return QTensor(packed, torch.tensor(scale, dtype=torch.float64), zero_point)


@pytest.mark.parametrize("backend", kernels.backends())
@settings(deadline=None, max_examples=100)
@given(draw=draws, rows=st.integers(0, 40), scale=st.floats(1e-30, 1e30))
def test_equals_torch(backend: str, draw: Draw, rows: int, scale: float) -> None:
    x = drawn(draw, rows, scale)
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        with kernels.using(backend):
            found = kernels.dequantize(x, dtype)
        assert found.dtype == dtype
        assert torch.equal(found, x.dequantize().to(dtype))


def test_scales_of_columns_and_rows() -> None:
    packed = PackedRows.pack(torch.arange(-6, 6, dtype=torch.int8).view(3, 4), IntegerRange(8, True))
    by_column = QTensor(packed, torch.rand(4, dtype=torch.float64))
    by_row = QTensor(packed, torch.tensor(0.5, dtype=torch.float64), row=FixedPoint.nearest(torch.rand(3, 1), 20))
    for x in (by_column, by_row):
        assert torch.equal(kernels.dequantize(x, torch.float32), x.dequantize().float())


def test_columns_that_are_not_contiguous_and_a_resized_storage() -> None:
    data = torch.arange(-6, 6, dtype=torch.int8).view(3, 4)
    x = QTensor(PackedRows(data.T, 3, IntegerRange(8, True)), torch.tensor(0.1, dtype=torch.float64), 2)
    assert torch.equal(kernels.dequantize(x, torch.float64), x.dequantize())
    resized = torch.arange(-6, 6, dtype=torch.int8).view(3, 4)
    resized.untyped_storage().resize_(5)
    with pytest.raises(InputError, match="the storage was resized"):
        kernels.dequantize(QTensor(PackedRows(resized, 4, IntegerRange(8, True)), x.scale), torch.float32)
