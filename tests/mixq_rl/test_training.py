import copy

import pytest
import torch

import mixq_rl
from mixq_rl.datasets import GraphTask
from mixq_rl.errors import InputError, SumOverflowError
from mixq_rl.training import class_probabilities
from tests.conftest import make_task


def accuracy(model: mixq_rl.QuantizableModel, task: GraphTask) -> float:
    return task.accuracy(model(task.x, task.edge_index), "validation")


def test_fit_learns(float_model: mixq_rl.QuantizableModel, task: GraphTask) -> None:
    assert accuracy(float_model, task) > task.majority_accuracy("validation") + 0.2


def test_same_seed_same_weights(task: GraphTask) -> None:
    def trained() -> mixq_rl.QuantizableModel:
        model = mixq_rl.build_model("gcn", task, hidden_channels=8, seed=3)
        mixq_rl.fit(model, task, seed=3, epochs=5)
        return mixq_rl.fit_supernet(model, task, (2, 8), seed=3, epochs=3)

    for one, other in zip(trained().parameters(), trained().parameters(), strict=True):
        assert torch.equal(one, other)


def test_supernet_works_at_any_allocation_better_than_calibration_alone(
    float_model: mixq_rl.QuantizableModel, task: GraphTask
) -> None:
    calibrated = copy.deepcopy(float_model)
    calibrated.calibrate(task.x, task.edge_index, (2,))
    supernet = mixq_rl.fit_supernet(copy.deepcopy(float_model), task, (2, 4), epochs=30)
    teacher = class_probabilities(float_model, task)

    def distance(model: mixq_rl.QuantizableModel) -> float:
        with model.allocated([2] * 9), torch.no_grad():
            return float(torch.nn.functional.cross_entropy(model(task.x, task.edge_index), teacher))

    assert distance(supernet) < distance(calibrated)


def test_fine_tune_improves_a_copy_and_reports_progress(
    evaluator: mixq_rl.SupernetEvaluator, float_model: mixq_rl.QuantizableModel, task: GraphTask
) -> None:
    before = copy.deepcopy(evaluator.model.state_dict())
    allocation = (2,) * 9
    told: list[tuple[int, int]] = []
    tuned = mixq_rl.fine_tune(
        evaluator.model,
        task,
        allocation,
        epochs=30,
        teacher=class_probabilities(float_model, task),
        progress=lambda done, total: told.append((done, total)),
    )
    assert tuned.allocation == allocation
    with evaluator.model.allocated(allocation):
        assert accuracy(tuned, task) >= accuracy(evaluator.model, task)
    assert all(torch.equal(before[name], tensor) for name, tensor in evaluator.model.state_dict().items())
    assert told == [(epoch, 30) for epoch in range(1, 31)]


def test_fine_tune_learns_from_labels_alone(evaluator: mixq_rl.SupernetEvaluator, task: GraphTask) -> None:
    tuned = mixq_rl.fine_tune(evaluator.model, task, (4,) * 9, epochs=10)
    assert accuracy(tuned, task) > task.majority_accuracy("validation") + 0.2


def test_fine_tuning_never_ends_below_where_it_began(evaluator: mixq_rl.SupernetEvaluator, task: GraphTask) -> None:
    for allocation in [(8,) * 9, (4,) * 9, (2,) * 9]:
        (before,) = evaluator.evaluate([allocation])
        assert evaluator.measure(evaluator.fine_tune(allocation, epochs=2), "validation").accuracy >= before.accuracy
        unchanged = evaluator.fine_tune(allocation, epochs=0)
        assert torch.equal(unchanged(task.x, task.edge_index), evaluator.freeze(allocation)(task.x, task.edge_index))


def test_divergence_is_answered(task: GraphTask) -> None:
    model = mixq_rl.build_model("gcn", task, hidden_channels=8)
    with torch.no_grad():
        model.get_parameter("convs.0.weight").fill_(float("nan"))
    with pytest.raises(InputError, match="training diverged in epoch 1: the loss is nan; normalise the features"):
        mixq_rl.fit(model, task, epochs=3)
    with pytest.raises(InputError, match="-1 epochs"):
        mixq_rl.fit(model, task, epochs=-1)


def test_hub_that_could_overflow_is_refused_before_the_supernet_is_trained() -> None:
    nodes = 40_000
    spokes = torch.stack([torch.arange(1, nodes), torch.zeros(nodes - 1, dtype=torch.int64)])
    x = torch.rand(nodes, 2, generator=torch.Generator().manual_seed(0))
    task = GraphTask("star", x, spokes, torch.arange(nodes) % 2, make_task(nodes).masks)
    model = mixq_rl.build_model("gcn", task, hidden_channels=2)
    with pytest.raises(SumOverflowError, match=r"the sum over the 40000 neighbours of node 0 .* \(--bits\)"):
        mixq_rl.fit_supernet(model, task, (8,), progress=lambda done, total: pytest.fail("trained"))


def test_best_epoch_is_restored(task: GraphTask) -> None:
    model = mixq_rl.build_model("gcn", task, hidden_channels=8, seed=0)
    seen: list[float] = []

    def watch(done: int, total: int) -> None:
        model.eval()
        with torch.no_grad():
            seen.append(accuracy(model, task))

    mixq_rl.fit(model, task, epochs=30, progress=watch)
    assert accuracy(model, task) == max(seen)
