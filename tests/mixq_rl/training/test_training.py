import copy
from dataclasses import replace

import pytest
import torch

import mixq_rl
from mixq_rl.datasets import GraphTask
from mixq_rl.datasets.splits import fraction_split
from mixq_rl.errors import BitWidthError, InputError, SumOverflowError
from mixq_rl.training import Schedule, calibrate, class_probabilities, default_schedule, distillation_targets
from tests.conftest import make_classified_graphs, make_task


def accuracy(model: mixq_rl.QuantizableModel, task: GraphTask) -> float:
    inputs = task.inputs("validation")
    with model.evaluating():
        return task.accuracy(model(inputs.x, inputs.graph), "validation")


@pytest.fixture(scope="module")
def graph_model(graph_task: GraphTask) -> mixq_rl.QuantizableModel:
    model = mixq_rl.build_model("gin", graph_task, hidden_channels=8, num_layers=2)
    return mixq_rl.fit(model, graph_task, epochs=20)


def test_fit_learns(float_model: mixq_rl.QuantizableModel, task: GraphTask) -> None:
    assert accuracy(float_model, task) > task.majority_accuracy("validation") + 0.2


def test_fit_learns_to_tell_graphs_apart(graph_model: mixq_rl.QuantizableModel, graph_task: GraphTask) -> None:
    assert accuracy(graph_model, graph_task) > graph_task.majority_accuracy("validation") + 0.2


@pytest.mark.parametrize("kind", ["node", "graph"])
def test_same_seed_same_weights(task: GraphTask, graph_task: GraphTask, kind: str) -> None:
    problem = task if kind == "node" else graph_task

    def trained(seed: int) -> list[torch.Tensor]:
        model = mixq_rl.build_model("gcn", problem, hidden_channels=8, num_layers=2, seed=3)
        mixq_rl.fit(model, problem, seed=seed, epochs=4)
        mixq_rl.fit_supernet(model, problem, (2, 8), seed=seed, epochs=3)
        return [parameter.detach() for parameter in model.parameters()]

    first, second, other = trained(3), trained(3), trained(4)
    assert all(torch.equal(one, same) for one, same in zip(first, second, strict=True))
    assert not all(torch.equal(one, another) for one, another in zip(first, other, strict=True))


@pytest.mark.parametrize("kind", ["node", "graph"])
def test_components_are_measured_anew_after_training(task: GraphTask, graph_task: GraphTask, kind: str) -> None:
    problem = task if kind == "node" else graph_task
    model = mixq_rl.build_model("gcn", problem, hidden_channels=8, num_layers=2)
    before = {component.name: component.statistics for component in model.components}
    mixq_rl.fit(model, problem, epochs=3)
    inputs = problem.calibration_inputs
    for component in model.components:
        if component.kind == "weight":
            assert component.statistics != before[component.name]
        if component.kind == "input":
            assert component.shape == tuple(inputs.x.shape)
            assert component.statistics["mean"] == pytest.approx(float(inputs.x.double().mean()))


def test_supernet_works_at_any_allocation_better_than_calibration_alone(
    float_model: mixq_rl.QuantizableModel, task: GraphTask
) -> None:
    calibrated = copy.deepcopy(float_model)
    calibrated.calibrate(task.x, task.edge_index, (2,))
    supernet = mixq_rl.fit_supernet(copy.deepcopy(float_model), task, (2, 4), epochs=30)
    teacher = distillation_targets(float_model, task)

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


def test_supernet_of_a_graph_task_works_at_any_allocation(
    graph_model: mixq_rl.QuantizableModel, graph_task: GraphTask
) -> None:
    calibrated = copy.deepcopy(graph_model)
    calibrate(calibrated, graph_task, (2, 4))
    supernet = mixq_rl.fit_supernet(copy.deepcopy(graph_model), graph_task, (2, 4), epochs=20)
    inputs = graph_task.inputs("train")

    def loss(model: mixq_rl.QuantizableModel) -> float:
        with model.allocated([2] * len(model.quantizers)), model.evaluating():
            return float(torch.nn.functional.cross_entropy(model(inputs.x, inputs.graph), inputs.y))

    assert loss(supernet) < loss(calibrated)


def test_fine_tuning_of_a_graph_task_improves_a_copy(
    graph_model: mixq_rl.QuantizableModel, graph_task: GraphTask
) -> None:
    calibrated = copy.deepcopy(graph_model)
    calibrate(calibrated, graph_task, (2,))
    allocation = (2,) * len(calibrated.quantizers)
    teacher = class_probabilities(graph_model, graph_task)
    tuned = mixq_rl.fine_tune(calibrated, graph_task, allocation, epochs=10, teacher=teacher)
    with calibrated.allocated(allocation):
        assert accuracy(tuned, graph_task) >= accuracy(calibrated, graph_task)
    assert tuned.allocation == allocation


def test_predictions_to_distil_are_those_of_the_float_model(
    float_model: mixq_rl.QuantizableModel,
    task: GraphTask,
    graph_model: mixq_rl.QuantizableModel,
    graph_task: GraphTask,
) -> None:
    with float_model.evaluating():
        expected = float_model(task.x, task.edge_index).softmax(dim=1)
    assert torch.equal(class_probabilities(float_model, task), expected)
    answers, train = class_probabilities(graph_model, graph_task), graph_task.masks["train"]
    inputs = graph_task.inputs("train")
    with graph_model.evaluating():
        assert torch.equal(answers[train], graph_model(inputs.x, inputs.graph).softmax(dim=1))
    assert not answers[~train].any()


def test_calibration_gives_every_component_every_bit_width(
    float_model: mixq_rl.QuantizableModel, task: GraphTask
) -> None:
    model = copy.deepcopy(float_model)
    assert calibrate(model, task, [8, 2, 2, 4]) == (2, 4, 8)
    for bits in (2, 4, 8):
        mixq_rl.IntegerModel.freeze(model, [bits] * 9)
    with pytest.raises(BitWidthError, match="bit-width 9 is outside"):
        calibrate(model, task, (2, 9))


def test_calibration_sees_training_graphs_alone(graph_task: GraphTask) -> None:
    assert graph_task.masks["train"][graph_task.calibration_inputs.index].all()


def test_small_graph_tasks_are_trained_for_more_epochs_up_to_a_bound(task: GraphTask, graph_task: GraphTask) -> None:
    large = make_classified_graphs(graphs=4000)
    for purpose in ("float", "supernet", "fine-tune"):
        few, many = default_schedule(purpose, graph_task), default_schedule(purpose, large)
        assert 400 >= few.epochs >= 200 > many.epochs > 0
        steps = many.epochs * -(-int(large.masks["train"].sum()) // many.batch_size)
        assert steps >= 600
        assert default_schedule(purpose, task).epochs >= 100


def test_labels_weigh_more_in_fine_tuning_where_more_nodes_have_them(task: GraphTask) -> None:
    def weight(labelled: float) -> float:
        masks = fraction_split(task.num_nodes, train=labelled, validation=0.1, seed=0)
        return default_schedule("fine-tune", replace(task, masks=masks)).label_weight

    assert weight(0.05) == 0.1
    assert weight(0.25) == pytest.approx(1 / 3, rel=0.02)
    assert weight(0.6) == 1.0
    for purpose in ("float", "supernet"):
        assert default_schedule(purpose, task).label_weight == 0.1


def test_fine_tune_learns_from_labels_alone(evaluator: mixq_rl.SupernetEvaluator, task: GraphTask) -> None:
    tuned = mixq_rl.fine_tune(evaluator.model, task, (4,) * 9, epochs=10)
    assert accuracy(tuned, task) > task.majority_accuracy("validation") + 0.2


def test_fine_tuning_never_ends_below_where_it_began(evaluator: mixq_rl.SupernetEvaluator, task: GraphTask) -> None:
    for allocation in [(8,) * 9, (4,) * 9, (2,) * 9]:
        (before,) = evaluator.evaluate([allocation])
        assert evaluator.measure(evaluator.fine_tune(allocation, epochs=2), "validation").accuracy >= before.accuracy
        unchanged = evaluator.fine_tune(allocation, epochs=0)
        assert torch.equal(unchanged(task.x, task.edge_index), evaluator.freeze(allocation)(task.x, task.edge_index))


def test_fine_tuning_ends_with_its_last_epoch_or_where_it_began(
    evaluator: mixq_rl.SupernetEvaluator, task: GraphTask
) -> None:
    def tuned(learning_rate: float, validated: GraphTask) -> dict[str, torch.Tensor]:
        schedule = Schedule(4, learning_rate)
        model = mixq_rl.fine_tune(evaluator.model, validated, (2,) * 9, schedule=schedule, teacher=evaluator.teacher)
        return model.state_dict()

    start, end = evaluator.model.state_dict(), tuned(0.003, task)
    # Judged by the network's own answers at the end, the end is best; by those at the beginning, the beginning is.
    answers = {}
    for name, state in (("start", start), ("end", end)):
        model = copy.deepcopy(evaluator.model)
        model.load_state_dict(state)
        with model.evaluating(), model.allocated((2,) * 9):
            answers[name] = model(task.x, task.edge_index).argmax(dim=1)
    assert not torch.equal(*answers.values())
    for name, state in (("start", start), ("end", end)):
        labels = torch.where(task.masks["validation"], answers[name], task.y)
        found = tuned(0.003, replace(task, y=labels))
        assert all(torch.equal(found[key], state[key]) for key in state)


def test_of_graphs_those_of_the_training_split_decide_too_whether_the_beginning_is_kept(graph_task: GraphTask) -> None:
    model = mixq_rl.fit(mixq_rl.build_model("gin", graph_task, hidden_channels=8, num_layers=1), graph_task, epochs=1)
    calibrate(model, graph_task, (8,))
    allocation = (8,) * len(model.quantizers)

    def tuned(task: GraphTask, *, learning_rate: float, keep: bool) -> mixq_rl.QuantizableModel:
        schedule = Schedule(10, learning_rate)
        return mixq_rl.fine_tune(model, task, allocation, schedule=schedule, keep_better=keep)

    def same(first: mixq_rl.QuantizableModel, second: mixq_rl.QuantizableModel) -> bool:
        return all(map(torch.equal, first.parameters(), second.parameters()))

    start = mixq_rl.fine_tune(model, graph_task, allocation, epochs=0)
    answers, graphs = graph_task.y.clone(), {}
    for split in ("train", "validation"):
        graphs[split], inputs = graph_task.masks[split], graph_task.inputs(split)
        with start.evaluating():
            answers[graphs[split]] = start(inputs.x, inputs.graph).argmax(dim=1)
    # By its own answers for the validation graphs alone, the beginning is best. The training graphs outvote them.
    by_validation = replace(graph_task, y=torch.where(graphs["validation"], answers, graph_task.y))
    end = tuned(by_validation, learning_rate=0.02, keep=False)
    assert not same(start, end)
    assert same(tuned(by_validation, learning_rate=0.02, keep=True), end)
    # By its answers for both it is kept.
    by_both = replace(graph_task, y=answers)
    assert not same(start, tuned(by_both, learning_rate=0.1, keep=False))
    assert same(start, tuned(by_both, learning_rate=0.1, keep=True))


def test_divergence_is_answered(task: GraphTask) -> None:
    model = mixq_rl.build_model("gcn", task, hidden_channels=8)
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
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


@pytest.mark.slow
def test_attention_learns_graphs_by_positional_encodings() -> None:
    task = mixq_rl.load_task("CSL")
    model = mixq_rl.fit(mixq_rl.build_model("gat", task), task, epochs=150)
    inputs = task.inputs("test")
    with model.evaluating():
        assert task.accuracy(model(inputs.x, inputs.graph), "test") > 0.9
