import copy

import pytest
import torch

import mixq_rl
from mixq_rl.datasets import GraphTask
from mixq_rl.errors import BitWidthError, UnknownNameError


def test_allocation_is_float_until_one_is_in_force(evaluator: mixq_rl.SupernetEvaluator, task: GraphTask) -> None:
    model = copy.deepcopy(evaluator.model)
    floating = model(task.x, task.edge_index)
    assert model.allocation is None
    with model.allocated([8] * 9):
        assert model.allocation == (8,) * 9
        quantized = model(task.x, task.edge_index)
    assert model.allocation is None
    assert not torch.equal(floating, quantized)
    assert torch.equal(model(task.x, task.edge_index), floating)


def test_more_bits_come_closer_to_float(evaluator: mixq_rl.SupernetEvaluator, task: GraphTask) -> None:
    model = copy.deepcopy(evaluator.model)
    model.calibrate(task.x, task.edge_index, (1, 2, 4, 8))
    floating = model(task.x, task.edge_index).detach()
    errors = []
    for bits in (1, 2, 4, 8):
        with model.allocated([bits] * 9), torch.no_grad():
            errors.append(float((model(task.x, task.edge_index) - floating).square().mean()))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.01 * float(floating.square().mean())


def test_gradients_reach_every_weight_and_scale(any_bit_evaluator: mixq_rl.SupernetEvaluator, task: GraphTask) -> None:
    model = copy.deepcopy(any_bit_evaluator.model)
    allocation = (3, 4, 5, 6, 7, 8, 4, 5, 6)
    with model.allocated(allocation):
        model(task.x, task.edge_index).square().sum().backward()
    for name, parameter in model.named_parameters():
        if "log_scales" not in name:
            assert parameter.grad is not None, name
            assert float(parameter.grad.abs().sum()) > 0, name
    for quantizer, bits in zip(model.quantizers, allocation, strict=True):
        scale = quantizer.log_scales[str(bits)]
        if scale.requires_grad:
            assert scale.grad is not None, quantizer.name
            assert float(scale.grad.abs().sum()) > 0, quantizer.name


def test_wrong_allocations_are_refused(evaluator: mixq_rl.SupernetEvaluator) -> None:
    model = copy.deepcopy(evaluator.model)
    with pytest.raises(BitWidthError, match="an allocation of 2 bit-widths for 9 components"):
        model.allocation = (2, 2)
    model.allocation = (8,) * 9
    with pytest.raises(BitWidthError, match=r"bit-width 3 of component 'conv2.aggregate' is not among \(2, 4, 8\)"):
        mixq_rl.IntegerModel.freeze(model, (2, 2, 2, 2, 2, 2, 2, 2, 3))
    assert model.allocation == (8,) * 9


def test_a_seed_gives_the_same_weights_and_leaves_the_generator_alone(task: GraphTask) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = mixq_rl.build_model("gcn", task, hidden_channels=4, seed=1)
    assert torch.equal(torch.rand(3), expected)
    second = mixq_rl.build_model("gcn", task, hidden_channels=4, seed=1)
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)


def test_unknown_model_is_refused_with_the_known_ones(task: GraphTask) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown model 'gcm': known are gcn; did you mean 'gcn'\?"):
        mixq_rl.build_model("gcm", task)
