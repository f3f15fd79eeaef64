import copy
import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch_geometric.nn as pyg
from torch import Tensor, nn
from torch.nn import functional

from mixq_rl import fit
from mixq_rl.datasets import GraphTask
from mixq_rl.errors import InputError
from mixq_rl.nn import prepare
from tests.mixq_rl.nn.float_models import (
    CLASSES,
    FEATURES,
    JUMPS,
    MODELS,
    NODES,
    NORMS,
    Handwritten,
    assert_integers_agree,
    assert_same,
    make,
    names,
    node_task,
    random_graph,
    settled,
)
from tests.pairwise import pairwise

pytestmark = pytest.mark.usefixtures("seeded")


@pytest.mark.parametrize(("norm", "jk", "name"), pairwise(NORMS, JUMPS, MODELS))
def test_float_output_of_pyg_models_stays(name: str, norm: str | None, jk: str | None, x: Tensor) -> None:
    for act, act_first in itertools.product(("relu", "elu"), (False, True)):
        model = make(name, norm=norm, jk=jk, act=act, act_first=act_first)
        assert_same(model, prepare(model), x, random_graph())


@pytest.mark.parametrize(("name", "jk"), list(zip(MODELS, JUMPS, strict=True)))
def test_pyg_models_run_on_integers(name: str, jk: str | None, x: Tensor) -> None:
    for norm, act, act_first in ((None, "elu", False), ("batch_norm", "relu", False), ("batch_norm", "relu", True)):
        model = make(name, norm=norm, jk=jk, act=act, act_first=act_first)
        assert_integers_agree(prepare(model), x, random_graph())


@pytest.mark.parametrize("name", MODELS)
def test_training_in_float_reaches_weights_and_statistics(name: str, x: Tensor) -> None:
    model = make(name, norm="batch_norm", jk="cat").train()
    prepared = prepare(model)
    assert prepared.training
    before = [copy.deepcopy(module) for module in prepared.modules() if isinstance(module, nn.BatchNorm1d)]
    optimizer = torch.optim.SGD(prepared.parameters(), lr=0.1)
    labels = torch.arange(NODES) % CLASSES
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        losses.append(functional.cross_entropy(prepared(x, random_graph()), labels))
        losses[-1].backward()
        optimizer.step()
    for key, parameter in prepared.named_parameters():
        assert parameter.grad is not None, key
    after = [module for module in prepared.modules() if isinstance(module, nn.BatchNorm1d)]
    assert before
    assert all(not torch.equal(a.running_mean, b.running_mean) for a, b in zip(after, before, strict=True))
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", MODELS)
def test_training_output_is_that_of_the_model(name: str, x: Tensor) -> None:
    model = MODELS[name](FEATURES, 8, 3, CLASSES, norm="batch_norm").train()
    prepared = prepare(model)
    with torch.no_grad():
        expected, found = model(x, random_graph().edge_index), prepared(x, random_graph())
    torch.testing.assert_close(found, expected, rtol=0, atol=3e-6 * float(expected.abs().max()))
    theirs, own = (
        [module.running_var for module in of.modules() if isinstance(module, nn.BatchNorm1d)]
        for of in (model, prepared)
    )
    torch.testing.assert_close(sorted(map(float, map(Tensor.sum, own))), sorted(map(float, map(Tensor.sum, theirs))))


def test_components_are_called_after_the_path_in_the_model() -> None:
    assert names(prepare(make("GCN", norm="batch_norm", jk="cat")))[:7] == [
        "convs.0.input",
        "convs.0.weight",
        "convs.0.message",
        "convs.0.adjacency",
        "convs.0.aggregate",
        "norms.0.update",
        "convs.1.weight",
    ]
    # Normalisation and activation are part of the linear layers, inside the convolution and after it.
    assert names(prepare(make("GIN", norm="batch_norm")))[:7] == [
        "convs.0.input",
        "convs.0.aggregate",
        "convs.0.nn.lins.0.weight",
        "convs.0.nn.lins.0.output",
        "convs.0.nn.lins.1.weight",
        "convs.0.nn.lins.1.output",
        "convs.1.aggregate",
    ]


def test_the_model_is_left_as_it_is(x: Tensor) -> None:
    model = make("GIN", norm="batch_norm", act="elu").train()
    model.norms[0].eval()
    state = copy.deepcopy(model.state_dict())
    modes = [module.training for module in model.modules()]
    generator = torch.get_rng_state()
    prepared = prepare(model)
    assert torch.equal(torch.get_rng_state(), generator)
    prepared(x, random_graph()).sum().backward()
    with torch.no_grad():
        for parameter in prepared.parameters():
            parameter.add_(1)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert model.dropout.p == 0.3


def test_frozen_weights_are_kept() -> None:
    model = make("GCN")
    model.convs[0].lin.weight.requires_grad_(False)
    prepared = prepare(model)
    assert [parameter.requires_grad for parameter in prepared.parameters()].count(False) == 1


def test_a_quantizable_model_is_copied(x: Tensor) -> None:
    task = node_task(x, random_graph())
    first = prepare(make("GCN"))
    second = prepare(first, task)
    assert second is not first
    assert len(second.components) == len(names(first))


def graph_task() -> GraphTask:
    sizes = torch.arange(24) % 4 + 3
    batch = torch.repeat_interleave(torch.arange(24), sizes)
    source = torch.arange(batch.numel() - 1)
    inside = source[batch[:-1] == batch[1:]]
    edge_index = torch.cat([torch.stack([inside, inside + 1]), torch.stack([inside + 1, inside])], dim=1)
    part = torch.arange(24) % 3
    masks = {"train": part == 0, "validation": part == 1, "test": part == 2}
    x = torch.randn(batch.numel(), FEATURES)
    return GraphTask("graphs", x, edge_index, torch.arange(24) // 3 % CLASSES, masks, batch=batch)


def test_a_task_measures_the_components_and_trains_the_model() -> None:
    task = graph_task()
    prepared = prepare(settled(Handwritten()), task)
    assert [component.name for component in prepared.components] == names(prepared)
    fit(prepared, task, seed=0, epochs=2)


def test_models_that_do_not_fit_the_task_are_refused(x: Tensor) -> None:
    task = node_task(x, random_graph())
    with pytest.raises(InputError, match=r"cannot be run on task 'nodes', of 6 features: it takes 7; build"):
        prepare(pyg.GCN(FEATURES + 1, 8, 2, CLASSES), task)
    with pytest.raises(InputError, match=r"logits of shape \[40, 2\]; .* a column for each of 3 classes"):
        prepare(pyg.GCN(FEATURES, 8, 2, 2), task)
    with pytest.raises(InputError, match=r"a row for each of 8 graphs"):
        prepare(pyg.GCN(FEATURES, 8, 2, CLASSES), graph_task())


def test_logits_of_no_class_are_said(x: Tensor, caplog: pytest.LogCaptureFixture) -> None:
    prepare(pyg.GCN(FEATURES, 8, 2, CLASSES + 2), node_task(x, random_graph()))
    assert "the model gives 5 logits for the 3 classes of nodes: the others are never right" in caplog.messages


def test_models_that_diverged_are_refused(x: Tensor) -> None:
    task = node_task(x, random_graph())
    model = pyg.GCN(FEATURES, 8, 2, CLASSES, norm="batch_norm")
    with torch.no_grad():
        model.convs[1].lin.weight[0, 0] = torch.nan
    with pytest.raises(InputError, match=r"the model's convs.1.lin.weight holds NaN or infinity"):
        prepare(model)
    model = pyg.GCN(FEATURES, 8, 2, CLASSES, norm="batch_norm")
    model.norms[0].module.running_mean.fill_(torch.nan)
    with pytest.raises(InputError, match=r"gives NaN or infinity on task 'nodes'"):
        prepare(model, task)


class Probabilities(nn.Module):
    """The sigmoids of the labels, as BCELoss takes them."""

    def __init__(self, last: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.last = pyg.GCNConv(FEATURES, CLASSES), last

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.last(self.conv(x, edge_index))


@pytest.mark.parametrize("last", [torch.sigmoid, lambda x: x.sigmoid(), functional.sigmoid, nn.Sigmoid()])
def test_a_sigmoid_at_the_end_is_left_out_where_rows_have_several_labels(
    last: Callable[[Tensor], Tensor], x: Tensor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    classes = node_task(x, random_graph())
    labels = GraphTask("labels", x, classes.edge_index, torch.ones(NODES, CLASSES).tril(), classes.masks)
    model = Probabilities(last).eval()
    expected = model.conv(x, classes.edge_index)
    torch.testing.assert_close(prepare(model, labels)(x, classes.edge_index), expected)
    assert any("at the end of the model is left out" in line for line in caplog.messages)
    torch.testing.assert_close(prepare(model, classes)(x, classes.edge_index), expected.sigmoid())


class NodesOrGraphs(nn.Module):
    """Pools only where it is told what belongs together."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.conv = pyg.GCNConv(features, classes)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor | None = None) -> Tensor:
        x = self.conv(x, edge_index)
        return x if batch is None else pyg.global_mean_pool(x, batch)


def test_an_optional_batch_keeps_its_default_where_nodes_are_classified(task: GraphTask) -> None:
    model = prepare(NodesOrGraphs(task.num_features, task.num_classes), task)
    assert model(task.x, task.edge_index).shape == (task.num_nodes, task.num_classes)
    assert [component.name for component in model.components][-1] == "conv.aggregate"


def test_more_logits_than_names_or_labels_are_refused(x: Tensor) -> None:
    task = node_task(x, random_graph())
    named = replace(task, class_names=tuple(f"class {number}" for number in range(CLASSES)))
    several = replace(task, y=functional.one_hot(task.y, CLASSES).float(), metric="roc-auc")
    wide = pyg.GraphSAGE(FEATURES, 8, 2, CLASSES + 1)
    assert prepare(wide, task).components
    for given, outputs in ((named, "classes"), (several, "labels")):
        with pytest.raises(InputError, match=f"a column for each of {CLASSES} {outputs}"):
            prepare(wide, given)
