import copy

import pytest
import torch
from torch import nn
from torch_geometric.nn import GAT, GCN, GIN, GraphSAGE, TAGConv

import mixq_rl
from mixq_rl.nn import INPUT, Activation, Linear, Node, QuantizableModel
from mixq_rl.nn.feature_folding import fold_feature_scaling
from mixq_rl.nn.sage import SAGEConv
from tests.mixq_rl.nn.networks import FEATURES, features, make_graph, network

SCALES = torch.tensor([1.0, 1000, 1, 0.001, 1, 30])
GRAPH = make_graph(200)
X = features(GRAPH) * SCALES


class Tags(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = TAGConv(FEATURES, 3)

    def forward(self, x: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
        return self.conv(x, edge_index)


@pytest.mark.parametrize(
    "make",
    [
        lambda: GCN(FEATURES, 8, 2, 3),
        lambda: GIN(FEATURES, 8, 2, 3),
        lambda: GraphSAGE(FEATURES, 8, 2, 3),
        lambda: GAT(FEATURES, 8, 2, 3),
        Tags,
    ],
)
def test_factors_are_folded_into_the_first_weights_exactly(make: type[nn.Module]) -> None:
    torch.manual_seed(0)
    user = make().eval()
    model = mixq_rl.prepare(user).double().eval()
    user = user.double()
    fold_feature_scaling(model, X.double(), GRAPH)
    assert model.scaling is not None
    with torch.no_grad():
        torch.testing.assert_close(model(X.double(), GRAPH), user(X.double(), GRAPH.edge_index))
    scaled = model.scaling(X)
    assert scaled.abs().amax(dim=0).max() < 2000 * scaled.abs().amax(dim=0).min()  # from a million


def test_an_activation_of_the_input_takes_no_factors() -> None:
    nodes = [
        Node("act", Activation(torch.tanh, "act.update"), (INPUT,)),
        Node("lin", Linear(FEATURES, 3, names=("lin.weight", "lin.output")), ("act",)),
    ]
    model = QuantizableModel(nodes, input_name="net.input")
    before = copy.deepcopy(model.state_dict())
    fold_feature_scaling(model, X, GRAPH)
    assert model.scaling is None
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_a_weight_that_a_later_layer_holds_too_is_not_changed() -> None:
    first = SAGEConv(FEATURES, FEATURES, name="first", root_weight=False)
    second = SAGEConv(FEATURES, FEATURES, name="second", root_weight=False)
    second.linear.weight = first.linear.weight
    model = QuantizableModel([Node("a", first, (INPUT,)), Node("b", second, ("a",))], input_name="net.input")
    fold_feature_scaling(model, X, GRAPH)
    assert model.scaling is None


def test_features_in_line_change_nothing() -> None:
    model = network(Linear(FEATURES, 3, names=("lin.weight", "lin.output")))
    fold_feature_scaling(model, features(GRAPH), GRAPH)
    assert model.scaling is None
