import pytest
import torch

from mixq_rl.quantization import IntegerRange, QTensor


def test_dequantizes_and_counts_its_bytes() -> None:
    values = torch.tensor([[0, 3], [1, 2]], dtype=torch.uint8)
    scale = torch.tensor([[0.5], [2.0]], dtype=torch.float64)
    tensor = QTensor(values, IntegerRange(2, False), scale, zero_point=1)
    assert tensor.dequantize().tolist() == [[-0.5, 1.0], [0.0, 2.0]]
    assert (tensor.bits, tensor.nbytes) == (2, 4)


def test_other_dtypes_are_refused() -> None:
    with pytest.raises(TypeError, match=r"holds torch\.int8, not torch\.uint8"):
        QTensor(torch.ones(2, dtype=torch.uint8), IntegerRange(4, True), torch.ones((), dtype=torch.float64))
