import pytest
import torch

from mixq_rl.errors import BitWidthError
from mixq_rl.quantization import IntegerRange, check_bit_widths


@pytest.mark.parametrize(
    ("bits", "signed", "minimum", "maximum"),
    [(1, False, 0, 1), (1, True, -1, 1), (2, True, -2, 1), (2, False, 0, 3), (8, True, -128, 127), (8, False, 0, 255)],
)
def test_bounds(bits: int, signed: bool, minimum: int, maximum: int) -> None:
    offered = IntegerRange(bits, signed)
    assert (offered.minimum, offered.maximum) == (minimum, maximum)
    for bound in (minimum, maximum):
        assert int(torch.tensor(bound).to(offered.dtype)) == bound


def test_rounds_half_to_even_before_the_zero_point_is_added() -> None:
    steps = torch.tensor([0.5, 1.5, 2.5, -0.5, -1.5])
    # Adding the zero point first would give 2, 2, 4, 0, 0.
    assert IntegerRange(8, False).nearest(steps, zero_point=1).tolist() == [1, 3, 3, 1, 0]


def test_one_signed_bit_is_a_sign() -> None:
    assert IntegerRange(1, True).nearest(torch.tensor([-0.2, 0.0, 0.3]), 0).tolist() == [-1, 1, 1]


@pytest.mark.parametrize("bits", [0, 9, -1])
def test_bit_widths_outside_one_to_eight_are_refused(bits: int) -> None:
    with pytest.raises(BitWidthError, match=rf"bit-width {bits} is outside 1\.\.\.8"):
        IntegerRange(bits, signed=True)
    with pytest.raises(BitWidthError, match=rf"bit-width {bits} is outside"):
        check_bit_widths((2, bits))


def test_bit_widths_are_sorted_and_distinct() -> None:
    assert check_bit_widths((8, 2, 2, 4)) == (2, 4, 8)
    with pytest.raises(BitWidthError, match="no bit-widths given"):
        check_bit_widths(())
