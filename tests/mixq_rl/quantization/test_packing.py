import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mixq_rl.quantization import IntegerRange, PackedRows


@given(st.integers(1, 8), st.booleans(), st.integers(0, 5), st.integers(0, 40), st.integers(0, 2**32 - 1))
def test_what_is_packed_is_unpacked(bits: int, signed: bool, rows: int, columns: int, seed: int) -> None:
    offered = IntegerRange(bits, signed)
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(offered.minimum, offered.maximum + 1, (rows, columns), generator=generator)
    values = (torch.where(values >= 0, 1, -1) if offered.is_sign else values).to(offered.dtype)
    packed = PackedRows.pack(values, offered)
    assert torch.equal(packed.unpack(), values)
    assert packed.shape == (rows, columns)
    storage = {1: 1, 2: 2, 3: 4, 4: 4}.get(bits, 8)
    assert packed.nbytes == rows * -(-columns * storage // 8)


def test_the_first_column_lies_in_the_lowest_bits() -> None:
    packed = PackedRows.pack(torch.tensor([[-8, 7, 0]], dtype=torch.int8), IntegerRange(4, True))
    assert packed.data.tolist() == [[0xF0, 0x08]]
    packed = PackedRows.pack(torch.tensor([[1, -1, -1, 1, 1, -1, -1, -1, 1]], dtype=torch.int8), IntegerRange(1, True))
    assert packed.data.tolist() == [[0b00011001, 1]]


def test_data_that_do_not_fit_are_refused() -> None:
    with pytest.raises(TypeError, match=r"held as torch\.uint8, not torch\.int8"):
        PackedRows(torch.zeros(1, 2, dtype=torch.int8), 3, IntegerRange(4, True))
    with pytest.raises(ValueError, match=r"take rows of 2 bytes, not \[1, 3\]"):
        PackedRows(torch.zeros(1, 3, dtype=torch.uint8), 3, IntegerRange(4, True))
    with pytest.raises(TypeError, match=r"are torch\.int8, not torch\.uint8"):
        PackedRows.pack(torch.zeros(1, 3, dtype=torch.uint8), IntegerRange(4, True))
