import copy
import itertools
import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch_geometric.nn as pyg
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.data import Data

from mixq_rl import IntegerModel, QuantizableModel, fit
from mixq_rl.datasets import GraphTask
from mixq_rl.errors import InputError, UnsupportedLayerError
from mixq_rl.graph import Graph
from mixq_rl.nn import Add, Linear, prepare

NODES, FEATURES, CLASSES = 40, 6, 3
MODELS = {"GCN": pyg.GCN, "GraphSAGE": pyg.GraphSAGE, "GIN": pyg.GIN, "GAT": pyg.GAT}
NORMS = (None, "batch_norm", "BatchNorm1d")
JUMPS = (None, "last", "cat", "max")


def random_graph(seed: int = 0, *, weighted: bool = False, graphs: int | None = None) -> Graph:
    """Duplicate edges, self-loops and nodes without neighbours among them."""
    generator = torch.Generator().manual_seed(seed)
    edge_index = torch.randint(NODES - 2, (2, 120), generator=generator)
    batch = None if graphs is None else torch.arange(NODES) * graphs // NODES
    weight = torch.rand(120, generator=generator) + 0.1 if weighted else None
    return Graph(edge_index, NODES, edge_weight=weight, batch=batch)


@pytest.fixture
def x() -> Tensor:
    return torch.randn(NODES, FEATURES, generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)
    random.seed(0)


def make(name: str, *, norm: str | None = None, **options: Any) -> nn.Module:
    """One of PyTorch Geometric's models, as after training: with statistics and biases."""
    kind = nn.BatchNorm1d(8) if norm == "BatchNorm1d" else norm
    return settled(MODELS[name](FEATURES, 8, 3, CLASSES, dropout=0.3, norm=kind, **options))


def settled(model: nn.Module) -> nn.Module:
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter)
    return model.eval()


def assert_same(model: nn.Module, prepared: QuantizableModel, x: Tensor, graph: Graph, **extra: Tensor) -> None:
    """The float outputs agree to 1e-6 of the greatest magnitude."""
    with torch.no_grad():
        expected, found = model(x, graph.edge_index, **extra), prepared(x, graph)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6 * float(expected.abs().max()))


def assert_integers_agree(prepared: QuantizableModel, x: Tensor, graph: Graph, bits: tuple[int, ...] = (2, 7)) -> None:
    """Integer execution gives exactly what fake quantization in float64 does, at a random allocation."""
    model = copy.deepcopy(prepared).eval()
    model.calibrate(x, graph, bits)
    model.double()
    allocation = [random.choice(bits) for _ in model.quantizers]
    integer = IntegerModel.freeze(model, allocation)
    found = integer.execute(integer.quantize_features(x.double()), integer.quantize_graph(graph)).dequantize()
    with model.evaluating(), model.allocated(allocation):
        torch.testing.assert_close(found, model(x.double(), graph), rtol=1e-12, atol=0)


def names(model: QuantizableModel) -> list[str]:
    return [quantizer.name for quantizer in model.quantizers]


@pytest.mark.parametrize(("norm", "jk"), list(itertools.product(NORMS, JUMPS)))
@pytest.mark.parametrize("name", MODELS)
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


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"add_self_loops": False},
        {"normalize": False},
        {"bias": False, "cached": True},
        {"improved": True},
    ],
)
def test_gcn_with_and_without_edge_weights(options: dict[str, bool], weighted: bool, x: Tensor) -> None:
    graph = random_graph(weighted=weighted)
    model = settled(pyg.GCN(FEATURES, 8, 2, CLASSES, **options))
    weight = {"edge_weight": graph.edge_weight} if weighted else {}
    task = node_task(x, graph)
    prepared = prepare(model, task)
    assert_same(model, prepared, x, graph, **weight)
    assert_integers_agree(prepared, x, graph)
    if not options.get("improved"):
        assert_same(model, prepare(model), x, graph, **weight)


def test_edge_weights_that_the_model_ignores_stay_ignored(x: Tensor) -> None:
    class Unweighted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = pyg.GCNConv(FEATURES, CLASSES)

        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            return self.conv(x, edge_index)

    model = Unweighted().eval()
    assert_same(model, prepare(model), x, random_graph(weighted=True))


@pytest.mark.parametrize(
    "conv",
    [
        pyg.SAGEConv(FEATURES, 5, aggr="sum"),
        pyg.SAGEConv(FEATURES, 5, root_weight=False),
        pyg.SAGEConv((FEATURES, FEATURES), 5, bias=False),
        pyg.GATConv(FEATURES, 5, heads=3),
        pyg.GATConv(FEATURES, 5, heads=3, concat=False, bias=False, negative_slope=0.4),
        pyg.TAGConv(FEATURES, 5, K=2),
        pyg.TAGConv(FEATURES, 5, K=1, normalize=False, bias=False),
        pyg.GINConv(nn.Sequential(nn.Linear(FEATURES, 5), nn.BatchNorm1d(5), nn.ReLU(inplace=True)), eps=0.5),
        pyg.GINConv(nn.Sequential(nn.Linear(FEATURES, 5, bias=False), nn.Tanh()), train_eps=True, eps=-0.25),
    ],
    ids=str,
)
def test_options_of_convolutions(conv: nn.Module, x: Tensor) -> None:
    model = settled(conv)
    prepared = prepare(model)
    assert_same(model, prepared, x, random_graph())
    assert_integers_agree(prepared, x, random_graph())


def test_epsilon_is_learned_where_the_model_learns_it() -> None:
    for train_eps in (False, True):
        prepared = prepare(pyg.GINConv(nn.Linear(FEATURES, 5), eps=0.5, train_eps=train_eps))
        learned = {name for name, parameter in prepared.named_parameters() if parameter.requires_grad}
        assert ("layers.0.propagate.epsilon" in learned) is train_eps


class Handwritten(nn.Module):
    """Functions, residuals, changes in place, a nested model, pooling and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(FEATURES, 8)
        self.convs = nn.ModuleList([pyg.GCNConv(8, 8), pyg.TAGConv(8, 8, K=1)])
        self.norm = pyg.BatchNorm(8)
        self.encoder = pyg.GraphSAGE(8, 8, 2, jk="max")
        self.relu = nn.ReLU(inplace=True)
        self.pool = pyg.MaxAggregation()
        self.head = pyg.MLP([16, 8, CLASSES], dropout=0.2)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        x = functional.relu(self.first(x))
        h = self.convs[0](x, edge_index)
        kept = [x, h]
        h += x
        h = self.relu(h)  # also what was kept
        h = self.norm(h + self.convs[1](h, edge_index).tanh() + x)
        h = functional.dropout(h, p=0.5, training=self.training)
        h = functional.leaky_relu(self.encoder(h, edge_index), 0.1)
        h = torch.maximum(sum(kept), h).contiguous()
        return self.head(torch.cat([pyg.global_mean_pool(h, batch), self.pool(h, batch)], dim=-1))


def test_a_model_written_by_hand(x: Tensor) -> None:
    graph = random_graph(graphs=5)
    model = settled(Handwritten())
    assert graph.batch is not None
    prepared = prepare(model)
    assert_same(model, prepared, x, graph, batch=graph.batch)
    assert_integers_agree(prepared, x, graph)
    found = names(prepared)
    assert {"first.weight", "convs.1.update_0", "encoder.convs.0.root", "tanh.update"} <= set(found)
    assert "global_mean_pool.aggregate" in found
    # One sum of three with its normalisation; the ReLU of the first layer is part of that.
    assert not {"norm.update", "relu.update"} & set(found)


def test_sequentials(x: Tensor) -> None:
    graph = random_graph(graphs=4)
    model = pyg.Sequential(
        "x, edge_index, batch",
        [
            (nn.Dropout(0.5), "x -> x"),
            (pyg.GCNConv(FEATURES, 8), "x, edge_index -> x1"),
            nn.ReLU(inplace=True),
            (pyg.GCNConv(8, 8), "x1, edge_index -> x2"),
            (lambda *parts: list(parts), "x1, x2 -> parts"),
            (pyg.JumpingKnowledge("cat"), "parts -> x"),
            (pyg.global_add_pool, "x, batch -> x"),
            nn.Sequential(nn.Linear(16, 8), nn.SiLU(), nn.Linear(8, CLASSES)),
        ],
    ).eval()
    prepared = prepare(model)
    assert graph.batch is not None
    assert_same(model, prepared, x, graph, batch=graph.batch)
    assert_integers_agree(prepared, x, graph)


def test_a_model_that_takes_data(x: Tensor) -> None:
    class OnData(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.conv2 = pyg.GCNConv(FEATURES, 8), pyg.GCNConv(8, CLASSES)

        def forward(self, data: Data) -> Tensor:
            hidden = self.conv1(data.x, data.edge_index, data.edge_weight).relu()
            return self.conv2(hidden, data.edge_index)

    graph, model = random_graph(weighted=True), OnData().eval()
    expected = model(Data(x=x, edge_index=graph.edge_index, edge_weight=graph.edge_weight))
    torch.testing.assert_close(prepare(model)(x, graph), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("function", "component"),
    [
        (functional.relu, "conv.aggregate"),
        (functional.gelu, "gelu.update"),
        (lambda h: functional.elu(h, 0.5), "elu.update"),
        (lambda h: functional.hardtanh(h, -0.5, 0.5), "hardtanh.update"),
        (torch.sigmoid, "sigmoid.update"),
        (functional.softplus, "softplus.update"),
        (lambda h: h + h, "add.update"),
        (lambda h: torch.max(h, h.relu()), "max_1.update"),
    ],
)
def test_functions(function: Callable[[Tensor], Tensor], component: str, x: Tensor) -> None:
    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = pyg.GCNConv(FEATURES, CLASSES)

        def forward(self, features: Tensor, edges: Tensor) -> Tensor:
            return function(self.conv(features, edges))

    model = Wrapped().eval()
    prepared = prepare(model)
    assert_same(model, prepared, x, random_graph())
    assert_integers_agree(prepared, x, random_graph())
    assert names(prepared)[-1] == component


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


def test_dtype_and_frozen_weights_are_kept(x: Tensor) -> None:
    model = make("GCN").double()
    model.convs[0].lin.weight.requires_grad_(False)
    prepared = prepare(model)
    assert prepared(x.double(), random_graph()).dtype == torch.float64
    assert [parameter.requires_grad for parameter in prepared.parameters()].count(False) == 1


def node_task(x: Tensor, graph: Graph) -> GraphTask:
    part = torch.arange(NODES) % 3
    masks = {"train": part == 0, "validation": part == 1, "test": part == 2}
    y = torch.arange(NODES) % CLASSES
    return GraphTask("nodes", x, graph.edge_index, y, masks, edge_weight=graph.edge_weight)


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
    with pytest.raises(InputError, match=r"cannot be run on task 'nodes', of 6 features"):
        prepare(pyg.GCN(FEATURES + 1, 8, 2, CLASSES), task)
    with pytest.raises(InputError, match=r"logits of shape \[40, 2\]; .* a column for each of 3 classes"):
        prepare(pyg.GCN(FEATURES, 8, 2, 2), task)
    with pytest.raises(InputError, match=r"a row for each of 8 graphs"):
        prepare(pyg.GCN(FEATURES, 8, 2, CLASSES), graph_task())


def hooked(path: str) -> nn.Module:
    model = pyg.GIN(FEATURES, 8, 2, CLASSES, norm="batch_norm")
    model.get_submodule(path).register_forward_hook(lambda *_: None)
    return model


class OwnConv(pyg.MessagePassing):
    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.propagate(edge_index, x=x)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (pyg.GCN(6, 8, 2, 3, norm="LayerNorm"), r"layer 'norms.0' \(LayerNorm\) is not supported: use BatchNorm"),
        (pyg.GCN(6, 8, 2, 3, norm="GraphNorm"), r"layer 'norms.0' \(GraphNorm\) is not supported: use BatchNorm"),
        (pyg.GCN(6, 8, 2, 3, jk="lstm"), r"layer 'jk' \(JumpingKnowledge\) has mode='lstm'.*: use 'cat' or 'max'"),
        (pyg.GCN(6, 8, 2, 3, act="PReLU"), r"layer 'act' \(PReLU\) .* 2 times|layer 'act' .*: use LeakyReLU"),
        (pyg.GCN(6, 8, 2, 3, act="swish"), r"function 'mul' in the model's forward .*SiLU"),
        (pyg.GAT(6, 8, 2, 3, v2=True), r"'convs.0' \(GATv2Conv\) .*: use GATConv\n.*'convs.1'"),
        (pyg.GAT(6, 8, 2, 3, residual=True), r"'convs.0' \(GATConv\) has residual=True.*Linear"),
        (pyg.GAT(6, 8, 2, 3, edge_dim=2), r"has edge_dim=2"),
        (pyg.GAT(6, 8, 2, 3, add_self_loops=False), r"has add_self_loops=False"),
        (pyg.GAT((6, 6), 8, 2, 3), r"has in_channels=\(6, 6\)"),
        (pyg.GraphSAGE(6, 8, 2, 3, aggr="max"), r"'convs.0' \(SAGEConv\) has aggr='max'.*: use aggr='mean'"),
        (pyg.GraphSAGE(6, 8, 2, 3, project=True), r"has project=True"),
        (pyg.GraphSAGE(6, 8, 2, 3, normalize=True), r"has normalize=True"),
        (pyg.GCN(6, 8, 2, 3, flow="target_to_source"), r"has flow='target_to_source'"),
        (pyg.GCN(6, 8, 2, 3, norm="BatchNorm", norm_kwargs={"track_running_stats": False}), r"track_running_stats"),
        (pyg.GCN(6, 8, 2, 3, norm="BatchNorm", norm_kwargs={"allow_single_element": True}), r"allow_single_element"),
        (pyg.EdgeCNN(6, 8, 2, 3), r"'convs.0' \(EdgeConv\) is not supported: use GINConv"),
        (pyg.GraphSAGE(-1, 8, 2, 3), r"'convs.0' \(SAGEConv\) has no weights yet: call the model once"),
        (pyg.TAGConv(6, 8, K=0), r"the model \(TAGConv\) has K=0.*Linear"),
        (hooked("convs.1"), r"'convs.1' \(GINConv\) has forward hooks"),
        (hooked("norms.0.module"), r"'norms.0' \(BatchNorm\) has forward hooks"),
        (nn.Sequential(nn.Linear(6, 8), nn.Softmax(dim=1)), r"'1' \(Softmax\) is not supported: return the logits"),
        (
            pyg.Sequential("x, edge_index", [(OwnConv(), "x, edge_index -> x")]),
            r"\(OwnConv\).*supported are GATConv",
        ),
        (nn.Identity(), r"the model"),
    ],
)
def test_unsupported_layers_are_named(model: nn.Module, message: str) -> None:
    with pytest.raises(UnsupportedLayerError, match=message):
        prepare(model)


class Forward(nn.Module):
    """One layer of each kind, and a forward given by the test."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.conv, self.conv2 = pyg.GCNConv(6, 6), pyg.GCNConv(6, 6)
        self.attention, self.scale = pyg.GATConv(6, 6), nn.Parameter(torch.ones(6))
        self.norm, self.layer_norm = nn.BatchNorm1d(6), nn.LayerNorm(6)
        self.function = function

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor, batch: Tensor) -> Any:
        return self.function(self, x, edge_index, edge_weight, batch)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda m, x, e, w, b: m.conv(m.conv(x, e), e), r"layer 'conv' \(GCNConv\) is called 2 times.*of its own"),
        (lambda m, x, e, w, b: m.norm(m.conv2(m.norm(m.conv(x, e)), e)), r"layer 'norm' .* is called 2 times"),
        (lambda m, x, e, w, b: functional.log_softmax(m.conv(x, e), dim=1), r"'log_softmax' .*: return the logits"),
        (lambda m, x, e, w, b: m.conv(x, e) * m.scale, r"tensor 'scale' is used outside of a layer"),
        (lambda m, x, e, w, b: m.conv(x, e) * 2, r"function 'mul' in the model's forward is not supported"),
        (lambda m, x, e, w, b: m.conv(x, e) + 1, r"function 'add' .* takes a constant"),
        (lambda m, x, e, w, b: m.conv(x, e) + w, r"function 'add' .* takes edge_weight"),
        (lambda m, x, e, w, b: m.conv(x, e, w * 2), r"'conv' \(GCNConv\) takes another edge_weight"),
        (lambda m, x, e, w, b: m.conv(x, e.flip(0)), r"'conv' \(GCNConv\) takes another edge_index"),
        (lambda m, x, e, w, b: m.attention(x, e, w), r"'attention' \(GATConv\) has edge_attr"),
        (lambda m, x, e, w, b: m.attention(x, e, size=(4, 4)), r"'attention' \(GATConv\) has arguments"),
        (
            lambda m, x, e, w, b: pyg.global_mean_pool(m.conv(x, e), None),
            r"'mean' .*hand them the model's batch",
        ),
        (lambda m, x, e, w, b: pyg.global_add_pool(m.conv(x, e), e), r"'global_add_pool' .* takes another batch"),
        (lambda m, x, e, w, b: torch.cat([x, m.conv(x, e)]), r"function 'cat' .* has dim=0.*dim=-1"),
        (lambda m, x, e, w, b: functional.dropout(m.conv(x, e)), r"'dropout' .*training=self.training"),
        (lambda m, x, e, w, b: (m.conv(x, e), x), r"returns a tuple: let it return the logits alone"),
        (lambda m, x, e, w, b: x if x.sum() > 0 else m.conv(x, e), r"forward cannot be followed"),
        (
            lambda m, x, e, w, b: m.conv(m.layer_norm(x), e).exp(),
            r"'layer_norm' .*BatchNorm.*\n.*'exp' .*supported",
        ),
    ],
)
def test_unsupported_calls_are_named(function: Callable[..., Any], message: str) -> None:
    with pytest.raises(UnsupportedLayerError, match=message):
        prepare(Forward(function))


def test_unknown_arguments_are_named() -> None:
    class Adjacent(nn.Module):
        def forward(self, x: Tensor, adj_t: Tensor) -> Tensor:
            return x

    class Nothing(nn.Module):
        def forward(self) -> Tensor:
            return torch.zeros(1)

    with pytest.raises(UnsupportedLayerError, match="takes 'adj_t': of a graph it can be given x, edge_index"):
        prepare(Adjacent())
    with pytest.raises(UnsupportedLayerError, match="takes no features"):
        prepare(Nothing())


def test_what_becomes_one_layer() -> None:
    model = prepare(settled(nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Identity(), nn.ReLU())))
    (layer,) = model.layers
    assert isinstance(layer, Linear)
    assert layer.relu
    assert layer.norm is not None
    alone = prepare(settled(nn.Sequential(nn.BatchNorm1d(6), nn.ReLU(), nn.ReLU())))
    assert [type(layer) for layer in alone.layers] == [Add, Add]


class Misnamed(nn.Module):
    """A layer named as a function or method is."""

    def __init__(self, name: str, layer: nn.Module) -> None:
        super().__init__()
        self.first, self.last, self.name = nn.Linear(FEATURES, 5), nn.Linear(5, CLASSES), name
        self.add_module(name, layer)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.last(self.get_submodule(self.name)(self.first(x)))


@pytest.mark.parametrize("name", ["relu", "add", "contiguous"])
@pytest.mark.parametrize("layer", [nn.LeakyReLU(0.2), nn.ELU(), nn.Linear(5, 5)])
def test_layers_may_be_named_as_functions_are(x: Tensor, name: str, layer: nn.Module) -> None:
    original, graph = Misnamed(name, copy.deepcopy(layer)).eval(), random_graph()
    expected = original(x, graph.edge_index)
    torch.testing.assert_close(prepare(original)(x, graph), expected, rtol=1e-6, atol=1e-6)


def test_an_unsupported_layer_named_relu_is_refused() -> None:
    with pytest.raises(UnsupportedLayerError, match=r"'relu' .*PReLU"):
        prepare(Misnamed("relu", nn.PReLU()))


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
