import pytest
import torch
from torch import nn

from mixq_rl.evaluation.model_state import ModelState


@pytest.fixture
def model() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def test_what_only_reads_changes_nothing(model: nn.Sequential) -> None:
    state = ModelState(model)
    model.eval()(torch.ones(2, 3)).sum().backward()
    model.zero_grad()
    model.state_dict()
    assert state.holds()


def test_training_is_noticed(model: nn.Sequential) -> None:
    state = ModelState(model)
    model(torch.ones(2, 3)).sum().backward()
    assert not state.holds()  # running statistics
    state = ModelState(model)
    torch.optim.AdamW(model.parameters()).step()
    assert not state.holds()


def test_a_loaded_state_is_noticed(model: nn.Sequential) -> None:
    state = ModelState(model)
    model.load_state_dict(model.state_dict())
    assert not state.holds()


def test_what_is_replaced_is_noticed(model: nn.Sequential) -> None:
    state = ModelState(model)
    weight, layer = model[0].weight, model[0]
    model[0].weight = nn.Parameter(weight.detach().clone())
    assert not state.holds()
    model[0].weight = weight
    assert state.holds()
    model[0] = nn.Linear(3, 4)
    assert not state.holds()
    model[0] = layer
    assert state.holds()
    model.to(torch.float64)
    assert not state.holds()


def test_inference_tensors_never_hold() -> None:
    with torch.inference_mode():
        assert not ModelState(nn.Linear(2, 2)).holds()
