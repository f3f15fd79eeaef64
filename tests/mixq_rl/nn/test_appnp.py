import pytest
import torch
import torch_geometric.nn

from mixq_rl.errors import InputError
from mixq_rl.nn import APPNP
from mixq_rl.propagation import Propagation
from tests.mixq_rl.nn.networks import KINDS, check_layer, features, make_graph, network, real
from tests.pairwise import pairwise


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("teleport", [0.0, 0.1, 1.0])
def test_float_forward_equals_pytorch_geometric(teleport: float, normalize: bool, weighted: bool) -> None:
    propagation = (
        Propagation("symmetric", "remaining", weighted=weighted) if normalize else Propagation(weighted=weighted)
    )
    layer = APPNP(name="conv1", hops=3, teleport=teleport, propagation=propagation)
    theirs = torch_geometric.nn.APPNP(K=3, alpha=teleport, normalize=normalize)
    graph = make_graph(weighted=weighted)
    expected = theirs(features(graph), graph.edge_index, graph.edge_weight)
    torch.testing.assert_close(real(layer, features(graph), graph), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "teleport", "weighted", "relu"), pairwise(KINDS, (0.0, 0.1, 1.0), (True, False), (True, False))
)
def test_integers_equal_fake_quantization(kind: str, teleport: float, weighted: bool, relu: bool) -> None:
    propagation = Propagation("symmetric", "remaining", weighted=weighted)
    layer = APPNP(name="conv1", hops=2, teleport=teleport, relu=relu, propagation=propagation)
    check_layer(layer, kind, count=20, weighted=weighted)


def test_components() -> None:
    graph = make_graph()
    components = network(APPNP(name="conv1", hops=2)).observe(features(graph), graph)
    parts = [f"{part}_{hop}" for hop in (1, 2) for part in ("adjacency", "aggregate", "update")]
    assert [component.name for component in components] == ["net.input", *(f"conv1.{part}" for part in parts)]


@pytest.mark.parametrize("options", [{"hops": 0}, {"teleport": 1.5}, {"teleport": -0.1}, {"teleport": float("nan")}])
def test_impossible_settings_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(InputError, match=r"layer 'conv1' of .* at least 1 hop and a probability within 0...1"):
        APPNP(name="conv1", **options)  # type: ignore[arg-type]
