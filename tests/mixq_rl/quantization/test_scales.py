import copy

import pytest
import torch

from mixq_rl.quantization import (
    Granularity,
    LearnedQuantizer,
    MinMax,
    MovingAverage,
    Percentile,
    Scheme,
    schemes,
)
from mixq_rl.sparse import SparseMatrix


def quantizer(scheme: Scheme, x: torch.Tensor, bits: int = 4, *, kind: str = "aggregate") -> LearnedQuantizer:
    made = LearnedQuantizer("conv1.aggregate", kind, signed=True, affine=True)  # type: ignore[arg-type]
    made.calibrate(x, (2, 4, 8), scheme)
    made.bits = bits
    return made


def ends(made: LearnedQuantizer) -> list[float]:
    offered = made.range
    real = (torch.tensor([offered.minimum, offered.maximum]) - made.zero_point) * made.scale
    return [float(end) for end in real]


def test_scales_follow_the_values_in_training_only() -> None:
    made = quantizer(Scheme(MinMax(), learn_scales=False), torch.tensor([[-1.0, 1.0]]), bits=8)
    assert ends(made) == pytest.approx([-1, 1], abs=0.01)
    made.train()
    made.fake_quantize(torch.tensor([[-3.0, 0.0]]))
    made.fake_quantize(torch.tensor([[0.0, 5.0]]))
    assert ends(made) == pytest.approx([-3, 5], abs=0.02)
    made.eval()
    made.fake_quantize(torch.tensor([[-100.0, 100.0]]))
    assert ends(made) == pytest.approx([-3, 5], abs=0.02)
    assert not list(made.parameters())


def test_requantization_and_alignment_show_real_values() -> None:
    made = quantizer(Scheme(MovingAverage(1.0), learn_scales=False), torch.ones(1, 1), bits=8)
    one = torch.tensor(1.0, dtype=torch.float64)
    made.fake_requantize(torch.tensor([[-40.0, 100.0]]), 0.1 * one, bias=torch.tensor([1.0, 0.0]))
    assert ends(made) == pytest.approx([-3, 10], abs=0.06)
    made.fake_align([torch.tensor([[1.0, -2.0]]), torch.tensor([[3.0, 1.0]])], [one, 2 * one])
    assert ends(made) == pytest.approx([0, 7], abs=0.04)
    made.fake_join([torch.tensor([[1.0]]), torch.tensor([[-3.0]])], [one, 2 * one], lambda x: torch.cat(list(x), dim=1))
    assert ends(made) == pytest.approx([-6, 1], abs=0.04)


def test_each_bit_width_follows_the_values_it_met_but_weights_are_the_same_for_all() -> None:
    for kind, expected in (("aggregate", 1.0), ("weight", 7.0)):
        made = quantizer(Scheme(MovingAverage(1.0), learn_scales=False), torch.tensor([[0.0, 1.0]]), 2, kind=kind)
        made.fake_quantize(torch.tensor([[0.0, 7.0]]))
        assert ends(made)[1] == pytest.approx(7)
        made.bits = 8
        assert ends(made)[1] == pytest.approx(expected)


def test_weights_remember_no_earlier_batch() -> None:
    made = LearnedQuantizer("conv1.weight", "weight", signed=True, granularity=Granularity.COLUMN)
    made.calibrate(torch.tensor([[8.0, 1.0]]), (8,), schemes["min-max"])
    made.bits = 8
    made.fake_quantize(torch.tensor([[2.0, 1.0]]))
    assert (made.scale * made.range.maximum).tolist() == pytest.approx([2, 1])


def test_protected_rows_and_what_relu_removes_do_not_count() -> None:
    made = LearnedQuantizer("conv1.aggregate", "aggregate", signed=False)
    made.calibrate(torch.ones(1, 1), (8,), Scheme(MovingAverage(1.0), learn_scales=False))
    made.bits = 8
    one, protected = torch.ones((), dtype=torch.float64), torch.tensor([[True], [False]])
    result = made.fake_requantize(torch.tensor([[50.0, 60.0], [-9.0, 3.0]]), one, protected=protected)
    assert float(made.scale) * 255 == pytest.approx(3)
    torch.testing.assert_close(result.to_real(), torch.tensor([[50.0, 60.0], [0.0, 3.0]]))
    made.fake_requantize(torch.full((2, 2), 7.0), one, protected=torch.tensor([[True], [True]]))
    assert float(made.scale) * 255 == pytest.approx(3)


def test_values_that_are_no_numbers_leave_the_range_as_it_is() -> None:
    made = quantizer(schemes["moving-average"], torch.tensor([[-1.0, 1.0]]))
    before = ends(made)
    made.fake_quantize(torch.tensor([[float("nan"), float("inf")]]))
    assert ends(made) == before


@pytest.mark.parametrize("protect", [True, False])
def test_sparse_and_dense_features_are_followed_alike(protect: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(20, 30, generator=generator) * (torch.rand(20, 30, generator=generator) < 0.1)
    protected = (torch.arange(20) % 3 == 0).unsqueeze(1) if protect else None
    results = []
    for features in (x, SparseMatrix.from_dense(x)):
        made = LearnedQuantizer("conv1.input", "input", signed=None, granularity=Granularity.ROW)
        made.calibrate(x / 2, (3,), Scheme(Percentile(0.8, 0.5), learn_scales=False))
        made.bits = 3
        results.append((made.fake_quantize(features, protected), made.scale))
    (dense, dense_scale), (sparse, sparse_scale) = results
    assert torch.equal(dense_scale, sparse_scale)
    assert torch.equal(dense.dense, sparse.dense)
    if protect:
        torch.testing.assert_close(dense.to_real()[::3], x[::3])


@pytest.mark.parametrize("name", list(schemes))
def test_a_state_dict_restores_scales_with_their_zero_points(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    made = quantizer(schemes[name], torch.rand(20, 4, generator=generator) - 0.2)
    state = copy.deepcopy(made.state_dict())
    assert all(isinstance(entry, torch.Tensor) for entry in state.values())
    before = (float(made.scale.detach()), made.zero_point)
    other = quantizer(schemes[name], 5 * torch.rand(20, 4, generator=generator) - 4)
    for _ in range(20):
        other.fake_quantize(9 * torch.rand(20, 4, generator=generator) - 8)
    assert (float(other.scale.detach()), other.zero_point) != before
    assert other.zero_point != before[1]
    other.load_state_dict(state)
    assert (float(other.scale.detach()), other.zero_point) == before
    assert (float(copy.deepcopy(other).scale.detach()), other.zero_point) == before
