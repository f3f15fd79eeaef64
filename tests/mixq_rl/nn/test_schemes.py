"""Every scheme of quantization-aware training with every network, on nodes and on graphs."""

import copy
import random

import pytest
import torch

import mixq_rl
from mixq_rl.datasets import GraphTask
from mixq_rl.nn import QuantizableModel, models
from mixq_rl.quantization import FakeQuantized, Protection, Scheme, schemes
from tests.conftest import ALL_BITS
from tests.mixq_rl.nn.networks import KINDS, check_equal, features, make_graph
from tests.pairwise import pairwise

SCHEMES = {
    **{name: schemes[name] for name in schemes},
    "all together": Scheme(scales_per_component=5, protection=Protection(0.1, 0.5)),
}


def make_task(kind: str) -> GraphTask:
    graph = make_graph(graphs=6 if kind == "graph" else None)
    count = 6 if kind == "graph" else graph.num_nodes
    place = torch.arange(count) % 3
    masks = {"train": place == 0, "validation": place == 1, "test": place == 2}
    return GraphTask("small", features(graph), graph.edge_index, place, masks, batch=graph.batch)


def calibrated(network: str, kind: str, scheme: Scheme, *, dropout: float | None = None) -> QuantizableModel:
    graph = make_graph(graphs=6 if kind == "graph" else None)
    model = mixq_rl.build_model(network, make_task(kind), hidden_channels=8, num_layers=2, dropout=dropout)
    model.calibrate(features(graph), graph, ALL_BITS, scheme)
    return model


def train(model: QuantizableModel, kind: str, steps: int, draw: random.Random) -> None:
    graph = make_graph(graphs=6 if kind == "graph" else None)
    optimizer = torch.optim.Adam([each for each in model.parameters() if each.requires_grad], lr=0.02)
    model.train()
    for _ in range(steps):
        optimizer.zero_grad()
        with model.allocated([draw.choice(ALL_BITS) for _ in model.quantizers]):
            model(features(graph), graph).square().mean().backward()
        optimizer.step()
    model.eval()


@pytest.mark.parametrize(("name", "network", "kind"), pairwise(SCHEMES, models, KINDS))
def test_integers_equal_fake_quantization_after_training(name: str, network: str, kind: str) -> None:
    torch.manual_seed(0)
    model, draw = calibrated(network, kind, SCHEMES[name]), random.Random(0)
    train(model, kind, 3, draw)
    model.double()
    allocations = [[draw.choice(ALL_BITS) for _ in model.quantizers] for _ in range(2)]
    unseen = make_graph(40, seed=7, graphs=9 if kind == "graph" else None)
    check_equal(model, features(unseen, seed=7), unseen, [[1] * len(model.quantizers), *allocations])


@pytest.mark.parametrize("network", list(models))
@pytest.mark.parametrize("name", ["moving-average", "a2q"])
def test_a_training_step_computes_what_would_be_frozen_after_it(name: str, network: str) -> None:
    model, graph = calibrated(network, "node", schemes[name], dropout=0.0).double(), make_graph()
    x = features(graph, seed=3).double()
    allocation = [random.Random(1).choice(ALL_BITS) for _ in model.quantizers]
    model.train()
    with model.allocated(allocation):
        trained = model(x, graph).detach()
    with model.evaluating(), model.allocated(allocation):
        assert torch.equal(model(x, graph), trained)


def test_node_scales_survive_saving(tmp_path: object) -> None:
    model = calibrated("gcn", "node", schemes["a2q"])
    frozen = mixq_rl.IntegerModel.freeze(model, [4] * len(model.quantizers))
    assert [signature.has_row for signature in frozen.signatures] == [True, False, True, False, False]
    frozen.save(str(tmp_path))
    graph = make_graph()
    again = mixq_rl.IntegerModel.load(str(tmp_path))
    assert torch.equal(again(features(graph), graph.edge_index), frozen(features(graph), graph.edge_index))


@pytest.mark.parametrize("name", list(SCHEMES))
def test_the_state_of_the_best_epoch_is_restored(name: str) -> None:
    model, graph, draw = calibrated("gin", "node", SCHEMES[name]), make_graph(), random.Random(2)
    train(model, "node", 2, draw)
    state, allocation = copy.deepcopy(model.state_dict()), [4] * len(model.quantizers)
    with model.evaluating(), model.allocated(allocation):
        best = model(features(graph), graph)
    train(model, "node", 3, draw)
    with model.evaluating(), model.allocated(allocation):
        assert not torch.equal(model(features(graph), graph), best)
        model.load_state_dict(state)
        assert torch.equal(model(features(graph), graph), best)


def results(model: QuantizableModel, kind: str) -> list[FakeQuantized]:
    """All fake-quantized values of one forward pass at 2 bits."""
    seen: list[FakeQuantized] = []
    hooks = [
        module.register_forward_hook(lambda _, inputs, output: seen.append(output))
        for module in model.modules()
        if isinstance(module, mixq_rl.nn.operator.Operator)
    ]
    graph = make_graph(graphs=6 if kind == "graph" else None)
    with model.allocated([2] * len(model.quantizers)):
        model(features(graph), graph)
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize("network", list(models))
def test_protected_nodes_are_not_quantized_anywhere_before_pooling(network: str) -> None:
    torch.manual_seed(0)
    model = calibrated(network, "graph", Scheme(protection=Protection(0.3, 0.9)), dropout=0.0)
    model.train()
    values = results(model, "graph")
    masks = [value.protected for value in values if value.protected is not None]
    assert all(torch.equal(mask, masks[0]) for mask in masks)
    rows = masks[0][:, 0]
    assert 0 < int(rows.sum()) < len(rows)
    for value in values:
        dense = value.dense
        pooled = dense.shape[0] != len(rows)
        assert (value.protected is None) == pooled, value.name
        assert torch.equal(dense if pooled else dense[~rows], (dense if pooled else dense[~rows]).round()), value.name
        if not pooled and dense[rows].abs().sum() > 0:
            assert not torch.equal(dense[rows], dense[rows].round()), value.name


def test_masks_are_drawn_anew_in_training_and_never_in_evaluation() -> None:
    torch.manual_seed(0)
    model = calibrated("gcn", "node", Scheme(protection=Protection(0.2, 0.8)), dropout=0.0)
    model.train()
    first, second = (results(model, "node")[-1].protected for _ in range(2))
    assert first is not None
    assert second is not None
    assert not torch.equal(first, second)
    model.eval()
    assert all(value.protected is None for value in results(model, "node"))
