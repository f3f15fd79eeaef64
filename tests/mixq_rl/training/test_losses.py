import copy
import math
from dataclasses import replace

import pytest
import torch

import mixq_rl
from mixq_rl.datasets import GraphTask
from mixq_rl.training import class_probabilities, distillation_targets
from mixq_rl.training.losses import distilled_loss, sharpening_temperature, supervised_loss


def several_labels(task: GraphTask) -> GraphTask:
    y = torch.nn.functional.one_hot(task.y).float()
    y[:, 0] = (y[:, 0] + y[:, 1]).clamp(max=1)
    y[::7, 1] = math.nan
    return replace(task, y=y, metric="")


def test_unknown_labels_have_no_part_in_the_loss(task: GraphTask) -> None:
    inputs = several_labels(task).inputs("train")
    logits = torch.randn(task.num_nodes, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    expected, count = 0.0, 0
    for row in inputs.labelled.tolist():
        for value, label in zip(logits[row].tolist(), inputs.y[row].tolist(), strict=True):
            if not math.isnan(label):
                expected += math.log1p(math.exp(-value if label else value))
                count += 1
    loss = supervised_loss(logits, inputs)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(3 * expected / count, rel=1e-5)
    assert logits.grad is not None
    known = torch.zeros(task.num_nodes, dtype=torch.bool).index_fill(0, inputs.labelled, True)
    assert torch.equal(logits.grad != 0, known[:, None] & ~inputs.y.isnan())


def test_no_known_label_is_no_loss() -> None:
    inputs = several_labels(mixq_rl.load_task("citation")).inputs("train")
    nothing = replace(inputs, y=torch.full_like(inputs.y, math.nan))
    assert float(supervised_loss(torch.randn(len(inputs.y), 7), nothing)) == 0.0


def test_float_model_teaches_probabilities_of_each_label(task: GraphTask) -> None:
    several = several_labels(task)
    model = mixq_rl.fit(mixq_rl.build_model("gcn", several, hidden_channels=8), several, epochs=5)
    with torch.no_grad():
        logits = model(several.x, several.edge_index)
    teacher = class_probabilities(model, several)
    assert torch.allclose(teacher, logits.sigmoid())
    inputs = several.inputs("train")
    entropy = -(teacher * teacher.log() + (1 - teacher) * (1 - teacher).log()).sum(dim=1).mean()
    assert float(distilled_loss(logits, inputs, teacher, label_weight=0.0)) == pytest.approx(float(entropy), rel=1e-4)


def test_output_starts_at_the_shares_of_the_labels() -> None:
    task = mixq_rl.load_task("topics")
    for name in ("gcn", "sage", "gat", "tag"):
        model = mixq_rl.build_model(name, task, hidden_channels=8)
        with torch.no_grad(), model.evaluating():
            share = model(task.x, task.edge_index).sigmoid().mean(dim=0)
        assert torch.allclose(share, task.y[task.masks["train"]].nanmean(dim=0), atol=0.12), name


def test_five_percent_of_positives_are_found_by_a_metric_that_weighs_them(task: GraphTask) -> None:
    rare = replace(task, y=((task.y == 0) & (torch.arange(task.num_nodes) % 5 == 0)).long())
    assert rare.majority_accuracy("validation") > 0.9
    for metric in ("balanced-accuracy", "roc-auc"):
        measured = replace(rare, metric=metric)
        model = mixq_rl.fit(mixq_rl.build_model("gcn", measured, hidden_channels=16), measured, epochs=60)
        evaluator = mixq_rl.PostTrainingEvaluator(model, measured)
        found = evaluator.evaluate([[bits] * len(model.components) for bits in (2, 4, 8)])
        assert mixq_rl.agents.hypervolume(found, measured.constant_score("validation")) > 0.0


def test_targets_of_nodes_are_sharpened_to_the_temperature_of_the_least_loss_on_validation_data(
    float_model: mixq_rl.QuantizableModel, task: GraphTask
) -> None:
    unsure = copy.deepcopy(float_model).eval()
    with torch.no_grad():
        for name, parameter in unsure.named_parameters():
            if name.startswith("layers.3."):
                parameter.mul_(0.05)
        logits = unsure(task.x, task.edge_index)
    temperature = sharpening_temperature(logits, task.inputs("validation"))
    assert 0.01 < temperature < 0.1
    own, targets = class_probabilities(unsure, task), distillation_targets(unsure, task)
    torch.testing.assert_close(targets, (own.log() / temperature).softmax(dim=1), atol=1e-4, rtol=1e-4)
    assert (targets.argmax(dim=1) == own.argmax(dim=1)).all()
    mask = task.masks["validation"]

    def loss(probabilities: torch.Tensor) -> float:
        return float(torch.nn.functional.nll_loss(probabilities.log()[mask], task.y[mask]))

    assert loss(targets) < loss(own)


def test_a_network_that_is_too_sure_and_graph_tasks_keep_their_probabilities(
    float_model: mixq_rl.QuantizableModel, task: GraphTask, graph_task: GraphTask
) -> None:
    wrong = replace(task, y=(task.y + 1) % task.num_classes)
    assert torch.equal(distillation_targets(float_model, wrong), class_probabilities(float_model, wrong))
    model = mixq_rl.build_model("gin", graph_task, hidden_channels=8, num_layers=2)
    assert torch.equal(distillation_targets(model, graph_task), class_probabilities(model, graph_task))
