"""Numbers that people bring: features out of line, negative edge weights, hubs. Float accuracy must survive 8 bits."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.nn import GraphSAGE, TAGConv

import mixq_rl
from mixq_rl.datasets import GraphTask
from mixq_rl.datasets.splits import fraction_split
from mixq_rl.errors import InvalidGraphError
from mixq_rl.nn import QuantizableModel
from tests.pairwise import alternating

NODES, FEATURES, CLASSES = 400, 16, 3
DRAW = torch.Generator().manual_seed(0)
Y = torch.randint(CLASSES, (NODES,), generator=DRAW)
X = torch.randn(NODES, FEATURES, generator=DRAW) + 2 * nn.functional.one_hot(Y, FEATURES).float()
ENDS = torch.randint(NODES, (2, 4000), generator=DRAW)
ENDS = ENDS[:, (Y[ENDS[0]] == Y[ENDS[1]]) | (torch.rand(4000, generator=DRAW) < 0.1)]
EDGES = torch.cat([ENDS, ENDS.flip(0)], dim=1)
SIGNED = torch.randn(EDGES.shape[1], generator=DRAW)


def with_entry() -> Tensor:
    x = X.clone()
    x[7, 3] = 1e6
    return x


def with_year() -> Tensor:
    x = X.clone()
    x[:, 7] = 2020 + 5 * x[:, 7]
    return x


def with_constant() -> Tensor:
    x = X.clone()
    x[:, 7] = 1e4
    return x


FEATURES_OUT_OF_LINE: dict[str, Callable[[], Tensor]] = {
    "one entry": with_entry,
    "one column": lambda: X * torch.where(torch.arange(FEATURES) == 5, 1e6, 1.0),
    "tiny": lambda: X * 1e-14,
    "huge": lambda: X * 1e15,
    "mixed": lambda: X * torch.logspace(-3, 3, FEATURES),
    "a year": with_year,
    "a constant": with_constant,
}


def task_of(x: Tensor = X, edge_weight: Tensor | None = None) -> GraphTask:
    masks = fraction_split(NODES, train=0.3, validation=0.6, seed=0)
    return GraphTask("case", x, EDGES, Y, masks, edge_weight=edge_weight)


def accuracies(model: QuantizableModel, task: GraphTask) -> tuple[float, float, float]:
    """Validation accuracy in float32, at 8 bits after calibration, and at 8 bits after fine-tuning."""
    evaluator = mixq_rl.PostTrainingEvaluator(model, task, bit_widths=(2, 4, 8))
    eight = [8] * len(evaluator.components)
    (calibrated,) = evaluator.evaluate([eight])
    tuned = evaluator.measure(evaluator.fine_tune(eight, epochs=40), "validation")
    return evaluator.reference.accuracy, calibrated.accuracy, tuned.accuracy


@pytest.mark.slow
@pytest.mark.parametrize(("case", "kind"), alternating(FEATURES_OUT_OF_LINE, ["gcn", "sage", "gin", "tag", "gat"]))
def test_features_out_of_line_keep_their_accuracy(case: str, kind: str) -> None:
    task = task_of(FEATURES_OUT_OF_LINE[case]())
    model = mixq_rl.fit(mixq_rl.build_model(kind, task, hidden_channels=32), task, epochs=60)
    real, calibrated, tuned = accuracies(model, task)
    assert real > 0.6  # one class has a third
    assert calibrated > real - 0.02
    assert tuned > real - 0.01


def test_one_entry_a_million_times_the_others() -> None:
    task = task_of(with_entry())
    model = mixq_rl.fit(mixq_rl.build_model("gcn", task, hidden_channels=16), task, epochs=40)
    real, calibrated, tuned = accuracies(model, task)
    assert real > 0.5
    assert calibrated > real - 0.02
    assert tuned > real - 0.01


def test_a_trained_model_of_a_user_survives_one_entry_out_of_line() -> None:
    task = task_of(with_entry())
    torch.manual_seed(0)
    user = GraphSAGE(FEATURES, 16, 2, CLASSES)
    optimizer = torch.optim.Adam(user.parameters(), lr=0.01, weight_decay=5e-4)
    train = task.masks["train"]
    for _ in range(80):
        optimizer.zero_grad()
        nn.functional.cross_entropy(user(task.x, task.edge_index)[train], task.y[train]).backward()
        optimizer.step()
    real, calibrated, _ = accuracies(mixq_rl.prepare(user, task), task)
    assert calibrated > real - 0.02


def test_negative_weights_keep_the_accuracy_of_tag() -> None:
    task = task_of(edge_weight=SIGNED)
    model = mixq_rl.fit(mixq_rl.build_model("tag", task, hidden_channels=16), task, epochs=40)
    real, calibrated, tuned = accuracies(model, task)
    assert real > 0.6
    assert calibrated > real - 0.02
    assert tuned > real - 0.02


def test_negative_weights_are_refused_by_a_layer_that_normalises_by_degree() -> None:
    with pytest.raises(
        InvalidGraphError, match=r"layer 'conv1\.aggregate': the weights of the edges into node \d+ add"
    ):
        mixq_rl.build_model("gcn", task_of(edge_weight=SIGNED))


@pytest.mark.parametrize("normalize", [True, False])
def test_negative_weights_of_a_users_layer_are_refused_where_its_own_result_is_not_a_number(normalize: bool) -> None:
    class Tags(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = TAGConv(FEATURES, CLASSES, K=2, normalize=normalize)

        def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor) -> Tensor:
            return self.conv(x, edge_index, edge_weight)

    torch.manual_seed(0)
    task, user = task_of(edge_weight=SIGNED), Tags().eval()
    with torch.no_grad():
        expected = user(task.x, task.edge_index, task.edge_weight)
    assert bool(expected.isfinite().all()) != normalize
    if normalize:
        with pytest.raises(InvalidGraphError, match=r"layer 'conv\.aggregate_1': .* normalize=False"):
            mixq_rl.prepare(user, task)
        return
    model = mixq_rl.prepare(user, task).eval()
    with torch.no_grad():
        torch.testing.assert_close(model(task.x, task.inputs("train").graph), expected, rtol=1e-4, atol=1e-4)
    evaluator = mixq_rl.PostTrainingEvaluator(model, task)
    (eight,) = evaluator.evaluate([[8] * len(evaluator.components)])
    assert eight.accuracy > evaluator.reference.accuracy - 0.02
