import pytest
import torch

from mixq_rl.quantization import IntegerRange
from mixq_rl.quantization.real_range import RealRange


def between(low: float, high: float) -> RealRange:
    return RealRange(torch.tensor(low), torch.tensor(high))


def test_zero_is_always_inside() -> None:
    known = RealRange.around_zero(torch.tensor([1.0, -5.0]), torch.tensor([3.0, -2.0]))
    assert known.low.tolist() == [0, -5]
    assert known.high.tolist() == [3, 0]


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("signed", [True, False])
def test_the_outermost_integers_stand_for_the_ends(bits: int, signed: bool) -> None:
    offered = IntegerRange(bits, signed)
    if offered.is_sign:
        return
    quantizer = between(-1.0, 3.0).quantizer(offered, affine=True)
    real = (torch.tensor([offered.minimum, offered.maximum]) - quantizer.zero_point) * quantizer.scale
    torch.testing.assert_close(real, torch.tensor([-1.0, 3.0]).double(), rtol=0, atol=float(quantizer.scale) / 2)
    symmetric = between(-1.0, 3.0).quantizer(offered, affine=False)
    assert symmetric.zero_point == 0
    assert float(symmetric.scale) * offered.maximum == pytest.approx(3.0)


def test_signs_stand_for_the_middles_of_the_halves() -> None:
    assert float(between(-1.0, 3.0).quantizer(IntegerRange(1, True), affine=True).scale) == 1.5


def test_an_empty_range_has_a_scale() -> None:
    assert float(between(0.0, 0.0).quantizer(IntegerRange(4, True), affine=True).scale) > 0
    assert float(between(0.0, 0.0).quantizer(IntegerRange(4, False), affine=False).scale) > 0
