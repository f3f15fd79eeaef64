import pytest
import torch
import torch_geometric.nn

from mixq_rl.errors import InputError
from mixq_rl.nn import TAGConv
from mixq_rl.propagation import Propagation
from tests.mixq_rl.nn.networks import FEATURES, KINDS, check_layer, features, make_graph, network, real


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("hops", [1, 3])
@pytest.mark.parametrize("normalize", [True, False])
def test_float_forward_equals_pytorch_geometric(hops: int, normalize: bool, weighted: bool, relu: bool) -> None:
    propagation = Propagation("symmetric" if normalize else "none", weighted=weighted)
    conv = TAGConv(FEATURES, 8, name="conv1", hops=hops, relu=relu, propagation=propagation)
    theirs = torch_geometric.nn.TAGConv(FEATURES, 8, K=hops, normalize=normalize)
    linears = [conv.highest, *(linear for _, linear, _ in conv.hops)]
    for linear, own in zip(theirs.lins, reversed(linears), strict=True):
        linear.weight.data = own.weight.detach().t().clone()
    theirs.bias.data = torch.nn.init.normal_(conv.hops[-1][2].bias).detach().clone()
    graph = make_graph(weighted=weighted)
    expected = theirs(features(graph), graph.edge_index, graph.edge_weight)
    got = real(conv, features(graph), graph)
    torch.testing.assert_close(got, expected.relu() if relu else expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("hops", [1, 3])
def test_integers_equal_fake_quantization(kind: str, weighted: bool, hops: int) -> None:
    propagation = Propagation("symmetric", weighted=weighted)
    layer = TAGConv(FEATURES, 5, name="conv1", hops=hops, relu=hops == 1, propagation=propagation)
    check_layer(layer, kind, weighted=weighted, count=50 if weighted else 10)


def test_components_go_from_the_highest_power_down() -> None:
    model = network(TAGConv(FEATURES, 5, name="conv1", hops=2))
    names = ["weight_2", "message_2"]
    for hop in (1, 0):
        names += [f"{part}_{hop}" for part in ("weight", "message", "adjacency", "aggregate", "update")]
    assert {quantizer.name for quantizer in model.quantizers} == {"net.input", *(f"conv1.{name}" for name in names)}


def test_nothing_to_hop_is_refused() -> None:
    with pytest.raises(InputError, match="layer 'conv1' of 0 hops: at least 1 is needed"):
        TAGConv(4, 4, name="conv1", hops=0)
