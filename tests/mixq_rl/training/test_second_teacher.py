"""The teacher of quantized networks: a float network that learned from the float-trained one."""

import copy

import torch

import mixq_rl
from mixq_rl.datasets import GraphTask
from mixq_rl.training import calibrate, class_probabilities, distillation_targets
from mixq_rl.training.preparation import prepare_calibrated, prepare_supernet
from mixq_rl.training.second_teacher import second_teacher


def test_answers_are_probabilities_near_those_of_the_float_network(
    float_model: mixq_rl.QuantizableModel, task: GraphTask
) -> None:
    first, second = distillation_targets(float_model, task), second_teacher(float_model, task, epochs=20)
    assert second.shape == first.shape
    torch.testing.assert_close(second.sum(dim=1), torch.ones(len(second)))
    assert not torch.equal(second, first)
    assert float((second.argmax(dim=1) == first.argmax(dim=1)).float().mean()) > 0.8
    assert torch.equal(second, second_teacher(float_model, task, epochs=20))
    assert not torch.equal(second, second_teacher(float_model, task, epochs=20, seed=1))


def test_the_float_network_does_not_change(float_model: mixq_rl.QuantizableModel, task: GraphTask) -> None:
    before = {name: tensor.clone() for name, tensor in float_model.state_dict().items()}
    second_teacher(float_model, task, epochs=2)
    assert all(torch.equal(tensor, before[name]) for name, tensor in float_model.state_dict().items())


def test_graph_tasks_keep_the_first(graph_task: GraphTask) -> None:
    model = mixq_rl.build_model("gin", graph_task, hidden_channels=8, num_layers=2)
    assert torch.equal(second_teacher(model, graph_task), class_probabilities(model, graph_task))


def test_frozen_weights_keep_the_first(float_model: mixq_rl.QuantizableModel, task: GraphTask) -> None:
    frozen = copy.deepcopy(float_model)
    for parameter in frozen.parameters():
        parameter.requires_grad_(False)
    calibrate(frozen, task, (8,))  # scales can be trained, but have no part in float
    assert torch.equal(second_teacher(frozen, task), distillation_targets(float_model, task))


def test_supernets_learn_from_it_and_calibrated_networks_from_the_float_network(
    float_model: mixq_rl.QuantizableModel, task: GraphTask
) -> None:
    seen: list[tuple[int, int]] = []
    made = prepare_supernet(float_model, task, (2, 8), epochs=3, progress=lambda *done: seen.append(done))
    assert torch.equal(made.teacher, second_teacher(float_model, task, epochs=3))
    assert seen == [(done, 6) for done in range(1, 7)]  # its epochs and the supernet's
    calibrated = prepare_calibrated(float_model, task, (2, 8))
    assert torch.equal(calibrated.teacher, distillation_targets(float_model, task))
