import pytest
import torch
from torch import Tensor

from mixq_rl.conditions import check_finite, require
from mixq_rl.errors import InputError, InvalidGraphError


class Positive(torch.nn.Module):
    """Takes numbers above 0 only, and at least two of them."""

    def forward(self, x: Tensor) -> Tensor:
        require((x > 0).all(), "numbers are not positive", lambda: InputError(f"{float(x.min())} is not positive"))
        require(x.shape[0] >= 2, "too few numbers", lambda: InputError(f"{x.shape[0]} numbers are too few"))
        return x + 1


def test_a_condition_is_checked_at_once() -> None:
    assert torch.equal(Positive()(torch.tensor([1.0, 2.0])), torch.tensor([2.0, 3.0]))
    with pytest.raises(InputError, match=r"^-2\.0 is not positive"):
        Positive()(torch.tensor([1.0, -2.0]))
    with pytest.raises(InputError, match=r"^1 numbers are too few"):
        Positive()(torch.tensor([1.0]))


def test_a_traced_program_checks_it_whenever_it_runs() -> None:
    example = torch.ones(3)
    sizes = {"x": {0: torch.export.Dim("numbers", min=2)}}
    program = torch.export.export(Positive(), (example,), dynamic_shapes=sizes).module()
    assert torch.equal(program(torch.tensor([1.0, 2.0])), torch.tensor([2.0, 3.0]))
    with pytest.raises(RuntimeError, match="numbers are not positive"):
        program(torch.tensor([1.0, -2.0]))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_features_that_are_not_finite_are_refused_by_node(value: float) -> None:
    x = torch.zeros(4, 3)
    check_finite(x)
    check_finite(x[:0])
    x[2, 1] = value
    with pytest.raises(InvalidGraphError, match="the features of node 2 are not finite: replace NaN and infinity"):
        check_finite(x)
