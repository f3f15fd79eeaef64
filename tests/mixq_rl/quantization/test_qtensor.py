import pytest
import torch

from mixq_rl.quantization import FixedPoint, Granularity, IntegerRange, QTensor


def test_dequantizes_and_counts_its_bytes() -> None:
    values = torch.tensor([[0, 3], [1, 2]], dtype=torch.uint8)
    scale, row = torch.tensor(0.5, dtype=torch.float64), FixedPoint(torch.tensor([[2], [8]], dtype=torch.int32), 1)
    tensor = QTensor.pack(values, IntegerRange(2, False), scale, zero_point=1)
    assert tensor.dequantize().tolist() == [[-0.5, 1.0], [0.0, 0.5]]
    assert (tensor.bits, tensor.nbytes, tensor.granularity) == (2, 2 + 8, Granularity.TENSOR)
    by_row = QTensor.pack(values, IntegerRange(2, False), scale, zero_point=1, row=row)
    assert by_row.dequantize().tolist() == [[-0.5, 1.0], [0.0, 2.0]]
    assert (by_row.nbytes, by_row.granularity) == (2 + 8 + 8, Granularity.ROW)
    by_column = QTensor.pack(values, IntegerRange(2, False), torch.tensor([1.0, 2.0], dtype=torch.float64))
    assert by_column.dequantize().tolist() == [[0.0, 6.0], [1.0, 4.0]]
    assert by_column.granularity is Granularity.COLUMN


def test_other_dtypes_are_refused() -> None:
    with pytest.raises(TypeError, match=r"are torch\.int8, not torch\.uint8"):
        QTensor.pack(torch.ones(2, 2, dtype=torch.uint8), IntegerRange(4, True), torch.ones((), dtype=torch.float64))
