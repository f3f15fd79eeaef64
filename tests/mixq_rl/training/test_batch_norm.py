"""Statistics of batch normalisation in the training of quantized networks."""

import copy

import torch

import mixq_rl
from mixq_rl.datasets import GraphTask
from mixq_rl.nn.batch_norm import batch_norms
from mixq_rl.training import calibrate
from mixq_rl.training.batch_statistics import estimate_statistics

BITS = (1, 2, 8)


def make_model(task: GraphTask) -> mixq_rl.QuantizableModel:
    model = mixq_rl.build_model("gin", task, hidden_channels=8, num_layers=2)
    return mixq_rl.fit(model, task, epochs=20)


def statistics(model: mixq_rl.QuantizableModel) -> list[torch.Tensor]:
    return [buffer.clone() for norm in batch_norms(model) for buffer in norm.buffers()]


def test_a_supernet_has_the_statistics_of_its_highest_allocation(graph_task: GraphTask) -> None:
    model = make_model(graph_task)
    before = statistics(model)
    mixq_rl.fit_supernet(model, graph_task, BITS, epochs=3)
    highest, lowest = copy.deepcopy(model), copy.deepcopy(model)
    for measured, bits in ((highest, 8), (lowest, 1)):
        with measured.allocated([bits] * len(model.quantizers)):
            estimate_statistics(measured, graph_task)
    means, those_of_highest, those_of_lowest = (statistics(each)[::3] for each in (model, highest, lowest))
    assert all(map(torch.equal, means, those_of_highest))
    assert not any(map(torch.equal, means, those_of_lowest))
    assert not any(map(torch.equal, means, before[::3]))


def test_fine_tuning_finds_statistics_of_its_own(graph_task: GraphTask) -> None:
    """It does not matter which statistics a network has before: they are measured at the allocation."""
    model = make_model(graph_task)
    calibrate(model, graph_task, BITS)
    wrong = copy.deepcopy(model)
    for norm in batch_norms(wrong):
        assert norm.running_mean is not None
        norm.running_mean += 5
    allocation = [8] * len(model.quantizers)
    for epochs in (0, 2):
        tuned, other = (mixq_rl.fine_tune(start, graph_task, allocation, epochs=epochs) for start in (model, wrong))
        assert all(map(torch.equal, statistics(tuned), statistics(other)))
        assert not any(map(torch.equal, statistics(tuned)[::3], statistics(model)[::3]))


def test_estimated_statistics_are_those_of_the_quantized_network(graph_task: GraphTask) -> None:
    model = make_model(graph_task)
    calibrate(model, graph_task, BITS)
    inputs, allocation = graph_task.calibration_inputs, [2] * len(model.quantizers)
    with model.allocated(allocation):
        estimate_statistics(model, graph_task)
        with model.evaluating():
            evaluated = model(inputs.x, inputs.graph)
        model.eval()
        for norm in batch_norms(model):
            norm.train()
        of_batch = model(inputs.x, inputs.graph)
    torch.testing.assert_close(evaluated, of_batch, rtol=1e-3, atol=1e-3)
    assert all(norm.momentum == 0.1 for norm in batch_norms(model))


def test_a_network_without_norms_stays_as_it_is(task: GraphTask, float_model: mixq_rl.QuantizableModel) -> None:
    before = {name: tensor.clone() for name, tensor in float_model.state_dict().items() if torch.is_tensor(tensor)}
    estimate_statistics(float_model, task)
    assert all(torch.equal(tensor, before[name]) for name, tensor in float_model.state_dict().items() if name in before)
