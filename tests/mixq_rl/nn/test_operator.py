import pytest
import torch
from torch import nn

from mixq_rl.errors import InputError
from mixq_rl.nn import INPUT, Activation, Chain, Dropout, Linear, Node, QuantizableModel
from mixq_rl.nn.operator import Operator, Real
from mixq_rl.sparse import SparseMatrix
from tests.mixq_rl.nn.networks import FEATURES, calibrated, check_equal, features, make_graph, random_allocations


def linear(name: str, inputs: int = FEATURES, outputs: int = 4) -> Linear:
    return Linear(inputs, outputs, names=(f"{name}.weight", f"{name}.output"))


def test_an_operator_without_arithmetic_has_none() -> None:
    with pytest.raises(NotImplementedError):
        Operator()(Real(torch.ones(1, 1), "x"))


def test_chain_computes_one_part_after_another() -> None:
    first, second = linear("a"), Activation(nn.functional.elu, "b.update")
    x = torch.randn(5, FEATURES)
    chained = Chain(first, second)(Real(x, "x"))
    assert torch.equal(chained.dense, nn.functional.elu(x @ first.weight + first.bias))
    assert chained.name == "b.update"


def test_chain_is_exact_on_integers() -> None:
    graph = make_graph()
    chain = Chain(linear("a"), Activation(torch.tanh, "b.update"), linear("c", 4, 3))
    model = QuantizableModel([Node("chain", chain, (INPUT,))], input_name="a.input")
    model = calibrated(model, features(graph), graph)
    check_equal(model, features(graph), graph, random_allocations(model, 50))


@pytest.mark.parametrize("sparse", [True, False])
def test_dropout_acts_in_training_only(sparse: bool) -> None:
    dense = torch.ones(40, 40)
    layer = Dropout(0.5)
    x = Real(SparseMatrix.from_dense(dense) if sparse else dense, "x")
    assert set(layer(x).dense.unique().tolist()) == {0.0, 2.0}
    assert layer(x).name == "x"
    layer.eval()
    assert torch.equal(layer(x).dense, dense)


def test_integer_networks_know_nothing_of_dropout() -> None:
    graph = make_graph()
    nodes = [
        Node("dropout1", Dropout(0.5), (INPUT,)),
        Node("a", linear("a"), ("dropout1",)),
        Node("dropout2", Dropout(0.5), ("a",)),
        Node("b", linear("b", 4, 3), ("dropout2",)),
    ]
    model = calibrated(QuantizableModel(nodes, input_name="a.input"), features(graph), graph)
    model.train()
    with model.allocated([8] * 5):
        _, steps = model.freeze()
    assert [step.result for step in steps] == ["a.output", "b.output"]
    check_equal(model, features(graph), graph, random_allocations(model, 5))


@pytest.mark.parametrize("p", [-0.1, 1.0, 1.5])
def test_dropout_outside_its_bounds_is_refused(p: float) -> None:
    with pytest.raises(InputError, match=r"is outside 0 <= p < 1"):
        Dropout(p)
