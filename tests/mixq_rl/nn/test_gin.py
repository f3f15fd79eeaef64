import pytest
import torch
import torch_geometric.nn
from torch import nn

from mixq_rl.errors import InputError
from mixq_rl.nn import Chain, GINConv, Linear
from tests.mixq_rl.nn.networks import FEATURES, KINDS, calibrated, check_layer, features, make_graph, network, real
from tests.pairwise import pairwise

HIDDEN, OUT = 7, 5


def make_layer(epsilon: float, train_epsilon: bool, normed: bool = True, normalization: str = "none") -> GINConv:
    norms = [nn.BatchNorm1d(HIDDEN), nn.BatchNorm1d(OUT)] if normed else [None, None]
    mlp = Chain(
        Linear(FEATURES, HIDDEN, names=("conv1.weight_1", "conv1.hidden"), kind="update", norm=norms[0], relu=True),
        Linear(HIDDEN, OUT, names=("conv1.weight_2", "conv1.update"), kind="update", norm=norms[1]),
    )
    return GINConv(mlp, name="conv1", epsilon=epsilon, train_epsilon=train_epsilon, normalization=normalization)


def theirs_of(layer: GINConv, epsilon: float) -> nn.Module:
    linears = [nn.Linear(FEATURES, HIDDEN), nn.Linear(HIDDEN, OUT)]
    norms = [nn.BatchNorm1d(HIDDEN), nn.BatchNorm1d(OUT)]
    mlp = nn.Sequential(linears[0], norms[0], nn.ReLU(), linears[1], norms[1])
    theirs = torch_geometric.nn.GINConv(mlp, eps=epsilon, train_eps=True)
    for linear, norm, own in zip(linears, norms, layer.mlp.parts, strict=True):
        linear.weight.data, linear.bias.data = own.weight.detach().t().clone(), own.bias.detach().clone()
        norm.load_state_dict(own.norm.state_dict())
    return theirs


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("epsilon", [0.0, 0.3, -0.8])
def test_float_forward_equals_pytorch_geometric(epsilon: float, training: bool) -> None:
    layer, graph = make_layer(epsilon, True), make_graph()
    calibrated(network(layer), features(graph), graph).float()
    theirs = theirs_of(layer, epsilon)
    layer.train(training)
    theirs.train(training)
    expected = theirs(features(graph), graph.edge_index)
    torch.testing.assert_close(real(layer, features(graph), graph), expected, rtol=1e-4, atol=1e-5)


EPSILONS = [(0.0, False), (0.0, True), (0.37, False), (-1.6, True)]


@pytest.mark.parametrize(
    ("epsilons", "kind", "normed", "normalization"),
    pairwise(EPSILONS, KINDS, (True, False), ("none", "root", "mean")),
)
def test_integers_equal_fake_quantization(
    epsilons: tuple[float, bool], kind: str, normed: bool, normalization: str
) -> None:
    epsilon, train_epsilon = epsilons
    layer = make_layer(epsilon, train_epsilon, normed, normalization)
    check_layer(layer, kind, count=50 if normed and train_epsilon else 10)


@pytest.mark.parametrize(("normalization", "power"), [("none", 0.0), ("root", -0.5), ("mean", -1.0)])
def test_sums_are_times_a_power_of_the_degree(normalization: str, power: float) -> None:
    layer, graph = GINConv(Chain(), name="conv1", epsilon=0.3, normalization=normalization), make_graph()
    x = features(graph)
    degree = 1 + torch.bincount(graph.edge_index[1], minlength=graph.num_nodes)
    expected = torch_geometric.nn.GINConv(nn.Identity(), eps=0.3)(x, graph.edge_index) * degree.unsqueeze(1) ** power
    torch.testing.assert_close(real(layer, x, graph), expected, rtol=1e-4, atol=1e-5)


def test_other_normalizations_are_refused() -> None:
    with pytest.raises(InputError, match=r"normalization 'symmetric' of 'conv1' is not among .*'root'"):
        GINConv(Chain(), name="conv1", normalization="symmetric")


@pytest.mark.parametrize(
    ("epsilon", "train_epsilon", "has_adjacency"), [(0.0, False, False), (0.0, True, True), (0.3, False, True)]
)
def test_adjacency_is_a_component_unless_all_its_entries_are_one_for_good(
    epsilon: float, train_epsilon: bool, has_adjacency: bool
) -> None:
    model = network(make_layer(epsilon, train_epsilon))
    names = [quantizer.name for quantizer in model.quantizers]
    adjacency = ["conv1.adjacency"] if has_adjacency else []
    parts = ["weight_1", "hidden", "weight_2", "update"]
    assert names == ["net.input", *adjacency, "conv1.aggregate", *(f"conv1.{part}" for part in parts)]


def test_epsilon_learns_where_it_is_to() -> None:
    graph = make_graph()
    for train_epsilon in (True, False):
        layer = make_layer(0.3, train_epsilon)
        model = calibrated(network(layer), features(graph), graph).float()
        with model.allocated([4] * len(model.quantizers)):
            model(features(graph), graph).square().sum().backward()
        gradient = layer.propagate.epsilon.grad
        assert (gradient is not None and bool(gradient.any())) == train_epsilon


def test_epsilon_begins_anew() -> None:
    layer = make_layer(0.3, True)
    with torch.no_grad():
        layer.propagate.epsilon.fill_(9)
    network(layer).reset_parameters()
    assert layer.propagate.epsilon.item() == pytest.approx(0.3)
