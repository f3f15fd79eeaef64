import pytest

from mixq_rl.nn import INPUT, GCNConv, Linear, MaxPool, Node, QuantizableModel
from mixq_rl.nn.flow import recorded_flow
from mixq_rl.nn.gat import GATConv
from mixq_rl.nn.operator import Chain, Dropout
from tests.mixq_rl.nn.networks import FEATURES, features, make_graph


def test_rows_have_scales_of_their_own_where_only_products_take_them() -> None:
    nodes = [
        Node("conv1", GCNConv(FEATURES, 4, name="conv1", relu=True), (INPUT,)),
        Node("dropout", Dropout(0.5), ("conv1",)),
        Node(
            "mlp", Chain(Linear(4, 4, names=("mlp.a", "mlp.b")), Linear(4, 8, names=("mlp.c", "mlp.d"))), ("dropout",)
        ),
        Node("conv2", GATConv(8, 4, name="conv2"), ("mlp",)),
        Node("pool", MaxPool(), ("conv2",)),
        Node("out", Linear(4, 2, names=("out.weight", "out.output")), ("pool",)),
    ]
    model, graph = QuantizableModel(nodes, input_name="input"), make_graph()
    with recorded_flow(model) as flow:
        model(features(graph), graph)
    carrying = [quantizer.name for quantizer in model.quantizers if flow.carries_rows(quantizer.name)]
    # Messages are summed up, a pooled maximum compares what it takes, and nothing takes the output.
    assert carrying == ["conv1.aggregate", "mlp.b", "mlp.d"]


@pytest.mark.parametrize("fails", [True, False])
def test_nothing_is_recorded_afterwards(fails: bool) -> None:
    layer = Linear(FEATURES, 2, names=("a", "b"))
    model, graph = QuantizableModel([Node("layer", layer, (INPUT,))], input_name="input"), make_graph()
    if fails:
        with pytest.raises(RuntimeError), recorded_flow(model) as flow:
            model(features(graph)[:, :-1], graph)
    else:
        with recorded_flow(model) as flow:
            pass
    model(features(graph), graph)
    assert not flow.taken
