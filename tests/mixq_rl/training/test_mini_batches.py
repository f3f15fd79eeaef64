"""Training on parts of a graph, and the choice of these parts."""

import copy
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

import mixq_rl
from mixq_rl.datasets import GraphTask, MiniBatches
from mixq_rl.errors import InputError
from mixq_rl.training import PreparationCache, calibrate, class_probabilities, default_schedule, with_mini_batches
from mixq_rl.training.losses import distilled_loss, supervised_loss
from tests.conftest import make_task

SIZE, NUMBERS = 16, (3, 2)


@pytest.fixture
def divided(task: GraphTask) -> GraphTask:
    return replace(task, mini_batches=MiniBatches(SIZE, NUMBERS))


def score(model: mixq_rl.QuantizableModel, task: GraphTask) -> float:
    inputs = task.inputs("validation")
    with model.evaluating():
        return task.score(model(inputs.x, inputs.graph), "validation")


@pytest.mark.parametrize("name", ["gcn", "sage", "gat"])
def test_training_on_parts_learns_for_the_whole_graph(divided: GraphTask, name: str) -> None:
    model = mixq_rl.build_model(name, divided, hidden_channels=16)
    mixq_rl.fit(model, divided, epochs=20)
    assert score(model, divided) > divided.majority_accuracy("validation") + 0.2


def test_a_supernet_and_fine_tuning_learn_on_parts(divided: GraphTask) -> None:
    model = mixq_rl.fit(mixq_rl.build_model("sage", divided, hidden_channels=8), divided, epochs=60)
    teacher = class_probabilities(model, divided)
    calibrated, lowest = copy.deepcopy(model), [2] * len(model.quantizers)
    calibrate(calibrated, divided, (2, 8))
    supernet = mixq_rl.fit_supernet(copy.deepcopy(model), divided, (2, 8), epochs=30)
    tuned = mixq_rl.fine_tune(calibrated, divided, lowest, teacher=teacher, epochs=60)

    def distance(model: mixq_rl.QuantizableModel) -> float:
        with model.allocated(lowest), model.evaluating():
            return float(torch.nn.functional.cross_entropy(model(divided.x, divided.edge_index), teacher))

    assert max(distance(supernet), distance(tuned)) < distance(calibrated)


def test_same_seed_same_weights(divided: GraphTask) -> None:
    def trained(seed: int) -> list[torch.Tensor]:
        model = mixq_rl.build_model("sage", divided, hidden_channels=8, seed=3)
        mixq_rl.fit(model, divided, seed=seed, epochs=2)
        mixq_rl.fit_supernet(model, divided, (2, 8), seed=seed, epochs=2)
        tuned = mixq_rl.fine_tune(model, divided, [8] * len(model.quantizers), seed=seed, epochs=2)
        return [parameter.detach() for parameter in tuned.parameters()]

    first, second, other = trained(3), trained(3), trained(4)
    assert all(torch.equal(one, same) for one, same in zip(first, second, strict=True))
    assert not all(torch.equal(one, another) for one, another in zip(first, other, strict=True))


def test_steps_on_all_neighbours_have_the_loss_of_the_whole_graph(task: GraphTask) -> None:
    model = mixq_rl.build_model("sage", task, hidden_channels=8, dropout=0.0)
    teacher = class_probabilities(model, task)
    whole = task.inputs("train")
    with model.evaluating():
        expected = model(whole.x, whole.graph)
        for batch in replace(task, mini_batches=MiniBatches(SIZE, (-1, -1))).training_batches(
            torch.Generator(), SIZE, every=True
        ):
            logits = model(batch.x, batch.graph)[: len(batch.index)]
            torch.testing.assert_close(logits, expected[batch.index])
            torch.testing.assert_close(
                distilled_loss(logits, batch, teacher, 0.0),
                torch.nn.functional.cross_entropy(logits, teacher[batch.index]),
            )


def test_a_batch_without_labels_is_taught_by_the_float_model_alone(task: GraphTask) -> None:
    few = {split: mask.clone() for split, mask in task.masks.items()}
    few["train"][few["train"].nonzero()[2:, 0]] = False
    divided = replace(task, masks=few, mini_batches=MiniBatches(SIZE, NUMBERS))
    batches = list(divided.training_batches(torch.Generator(), SIZE, every=True))
    empty = [batch for batch in batches if not batch.labelled.numel()]
    assert empty
    logits = torch.zeros(len(empty[0].index), task.num_classes, requires_grad=True)
    assert float(supervised_loss(logits, empty[0])) == 0
    model = mixq_rl.fit(mixq_rl.build_model("gcn", divided, hidden_channels=8), divided, epochs=1)
    supernet = mixq_rl.fit_supernet(model, divided, (4, 8), epochs=1)
    assert all(parameter.isfinite().all() for parameter in supernet.parameters())


def test_several_labels_and_edge_weights(task: GraphTask) -> None:
    y = torch.nn.functional.one_hot(task.y, task.num_classes).float()
    y[::7, 0] = torch.nan
    weight = torch.rand(task.edge_index.shape[1], generator=torch.Generator().manual_seed(0)) + 0.5
    divided = replace(task, y=y, metric="", edge_weight=weight, mini_batches=MiniBatches(SIZE, NUMBERS))
    model = mixq_rl.build_model("gcn", divided, hidden_channels=16)
    mixq_rl.fit(model, divided, epochs=12)
    evaluator = mixq_rl.SupernetEvaluator(model, divided, bit_widths=(4, 8), epochs=2)
    assert evaluator.evaluate([[8] * len(evaluator.components)])[0].accuracy > 0.8


def test_a_seed_that_is_left_over_passes_batch_normalisation() -> None:
    from torch import nn
    from torch_geometric.nn import MLP, GINConv

    class Normalised(nn.Module):
        def __init__(self, features: int, classes: int) -> None:
            super().__init__()
            self.conv = GINConv(MLP([features, 8, classes], norm="batch_norm"))

        def forward(self, x: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.conv(x, edge_index)
            return result

    task = make_task(nodes=60)
    lonely = replace(task, edge_index=task.edge_index[:, :0])
    size = int(task.masks["train"].sum()) - 1
    divided = replace(lonely, mini_batches=MiniBatches(size, (2,)))
    model = mixq_rl.prepare(Normalised(task.num_features, task.num_classes), divided)
    assert mixq_rl.fit(model, divided, epochs=2) is model


def test_default_epochs_give_a_number_of_steps(task: GraphTask) -> None:
    many = make_task(nodes=4000)
    divided = replace(many, mini_batches=MiniBatches(2, NUMBERS))
    epochs = [default_schedule(purpose, divided).epochs for purpose in ("float", "supernet", "fine-tune")]
    assert epochs == [20, 6, 4]
    assert default_schedule("float", divided).batch_size == 2
    large = replace(many, mini_batches=MiniBatches(10_000, NUMBERS))
    for purpose in ("float", "supernet", "fine-tune"):
        assert default_schedule(purpose, large).epochs == default_schedule(purpose, many).epochs  # type: ignore[arg-type]


def test_the_same_network_in_other_batches_is_another_preparation(task: GraphTask, divided: GraphTask) -> None:
    model = mixq_rl.build_model("gcn", task, hidden_channels=8)
    about = {
        "evaluator": mixq_rl.SupernetEvaluator,
        "bit_widths": (2, 8),
        "scheme": mixq_rl.quantization.schemes["lsq"],
    }
    others = [task, divided, *(replace(divided, mini_batches=MiniBatches(*b)) for b in ((8, NUMBERS), (SIZE, (3, 1))))]
    assert len({PreparationCache.key(model, each, **about) for each in others}) == 4  # type: ignore[arg-type]
    evaluators = [mixq_rl.PostTrainingEvaluator(model, each) for each in others]
    assert len({evaluator.fingerprint for evaluator in evaluators}) == 4


def chosen(
    task: GraphTask, name: str = "sage", size: int | None = None, numbers: Sequence[int] | None = None
) -> tuple[MiniBatches | None, tuple[str, ...]]:
    model = mixq_rl.build_model(name, task, hidden_channels=8)
    found = with_mini_batches(task, model, batch_size=size, num_neighbors=numbers)
    return found.mini_batches, found.notes[len(task.notes) :]


def test_small_graphs_are_whole_and_large_ones_are_sampled(task: GraphTask, monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen(task) == (None, ())
    work = task.edge_index.shape[1] * 8
    monkeypatch.setattr("mixq_rl.training.mini_batches._MOST_WORK", work)
    assert chosen(task) == (None, ())
    monkeypatch.setattr("mixq_rl.training.mini_batches._MOST_WORK", work - 1)
    told = "a step of training has 512 nodes and at most 10, 5 neighbours of each node, hop by hop, not the whole graph"
    assert chosen(task) == (MiniBatches(512, (10, 5)), (told,))
    assert chosen(task, size=0) == (None, ())
    batches, (note,) = chosen(task, "gin")
    assert batches is None
    assert note == "training takes the whole graph in every step: the network sums over all neighbours"


def test_what_is_given_is_taken(task: GraphTask, graph_task: GraphTask) -> None:
    assert chosen(task, size=64)[0] == MiniBatches(64, (10, 5))
    assert chosen(task, numbers=(7, -1))[0] == MiniBatches(512, (7, -1))
    assert chosen(task, "gin", numbers=(-1,))[0] == MiniBatches(512, (-1, -1))
    assert chosen(task, "tag", size=4)[0] == MiniBatches(4, (10, 5, 3, 1, 1, 1))
    assert chosen(graph_task, size=4) == (MiniBatches(4), ("a step of training has 4 graphs",))
    assert default_schedule("float", replace(graph_task, mini_batches=MiniBatches(4))).batch_size == 4


@pytest.mark.parametrize(
    ("kind", "size", "numbers", "message"),
    [
        ("node", None, (5,), "5 neighbours for a network of 2 hops: give 2 numbers, or -1"),
        ("node", None, (5, 5, 5), "5,5,5 neighbours for a network of 2 hops"),
        ("node", 0, (5, 5), "a batch size of 0 is the whole graph"),
        ("node", 1, None, "a batch of 1 seed node"),
        ("graph", None, (5, 5), "a step of a graph task has whole graphs"),
        ("graph", 8, (5, 5), "a step of a graph task has whole graphs"),
        ("graph", 0, None, "a batch of 0: at least 1 is needed"),
    ],
)
def test_what_cannot_be_is_refused(
    task: GraphTask, graph_task: GraphTask, kind: str, size: int | None, numbers: Sequence[int] | None, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        chosen(task if kind == "node" else graph_task, size=size, numbers=numbers)
