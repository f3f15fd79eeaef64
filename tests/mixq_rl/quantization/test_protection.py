import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mixq_rl.errors import InputError
from mixq_rl.quantization import Protection


@given(st.lists(st.integers(0, 9), min_size=1, max_size=30), st.floats(0, 1), st.floats(0, 1))
def test_probability_grows_with_the_degree(degrees: list[int], one: float, other: float) -> None:
    protection = Protection(min(one, other), max(one, other))
    probability = protection.probability(torch.tensor(degrees)).tolist()
    for degree, share in zip(degrees, probability, strict=True):
        rank = sum(each <= degree for each in degrees) / len(degrees)
        assert share == pytest.approx(protection.low + (protection.high - protection.low) * rank)
        assert protection.low - 1e-9 <= share <= protection.high + 1e-9
    assert max(probability) == pytest.approx(protection.high)


def test_each_graph_of_a_batch_ranks_its_own_nodes() -> None:
    degree, batch = torch.tensor([1, 2, 100, 200, 7]), torch.tensor([0, 0, 2, 2, 3])
    assert Protection(0.0, 1.0).probability(degree, batch).tolist() == [0.5, 1.0, 0.5, 1.0, 1.0]


def test_masks_are_drawn_as_often_as_the_probability_says() -> None:
    edges = torch.tensor([[1, 2, 3, 0, 2, 0], [0, 0, 0, 1, 1, 2]])
    torch.manual_seed(0)
    drawn = torch.stack([Protection(0.1, 0.9).draw(edges, 4) for _ in range(2000)])
    assert drawn.shape[1:] == (4, 1)
    torch.testing.assert_close(
        drawn.double().mean(dim=0)[:, 0], torch.tensor([0.9, 0.7, 0.5, 0.3]).double(), atol=0.04, rtol=0
    )
    torch.manual_seed(0)
    assert torch.equal(Protection(0.1, 0.9).draw(edges, 4), drawn[0])


def test_a_graph_without_nodes_has_no_mask() -> None:
    assert Protection().draw(torch.zeros(2, 0, dtype=torch.int64), 0).shape == (0, 1)


@pytest.mark.parametrize(("low", "high"), [(-0.1, 0.5), (0.5, 0.4), (0.0, 1.1)])
def test_probabilities_out_of_order_are_refused(low: float, high: float) -> None:
    with pytest.raises(InputError, match="0 <= low <= high <= 1 is needed"):
        Protection(low, high)
