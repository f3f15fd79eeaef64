import copy

import pytest
import torch
from torch import nn

import mixq_rl
from mixq_rl.datasets import GraphTask
from mixq_rl.errors import BitWidthError, InputError, UnknownNameError
from mixq_rl.graph import Graph
from mixq_rl.nn import (
    INPUT,
    Activation,
    Dropout,
    GCNConv,
    GINConv,
    Linear,
    Node,
    QuantizableModel,
    SAGEConv,
    build_network,
)
from mixq_rl.quantization import Granularity
from mixq_rl.sparse import SparseMatrix
from tests.mixq_rl.nn.networks import FEATURES, features, make_graph


def test_allocation_is_float_until_one_is_in_force(evaluator: mixq_rl.SupernetEvaluator, task: GraphTask) -> None:
    model = copy.deepcopy(evaluator.model)
    floating = model(task.x, task.edge_index)
    assert model.allocation is None
    with model.allocated([8] * 9):
        assert model.allocation == (8,) * 9
        quantized = model(task.x, task.edge_index)
    assert model.allocation is None
    assert not torch.equal(floating, quantized)
    assert torch.equal(model(task.x, task.edge_index), floating)


def test_more_bits_come_closer_to_float(evaluator: mixq_rl.SupernetEvaluator, task: GraphTask) -> None:
    model = copy.deepcopy(evaluator.model)
    model.calibrate(task.x, task.edge_index, (1, 2, 4, 8))
    floating = model(task.x, task.edge_index).detach()
    errors = []
    for bits in (1, 2, 4, 8):
        with model.allocated([bits] * 9), torch.no_grad():
            errors.append(float((model(task.x, task.edge_index) - floating).square().mean()))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.01 * float(floating.square().mean())


def test_gradients_reach_every_weight_and_scale(any_bit_evaluator: mixq_rl.SupernetEvaluator, task: GraphTask) -> None:
    model = copy.deepcopy(any_bit_evaluator.model)
    allocation = (3, 4, 5, 6, 7, 8, 4, 5, 6)
    with model.allocated(allocation):
        model(task.x, task.edge_index).square().sum().backward()
    of_quantizers = {id(parameter) for quantizer in model.quantizers for parameter in quantizer.parameters()}
    for name, parameter in model.named_parameters():
        if id(parameter) not in of_quantizers:
            assert parameter.grad is not None, name
            assert float(parameter.grad.abs().sum()) > 0, name
    learned = 0
    for quantizer, bits in zip(model.quantizers, allocation, strict=True):
        for name, scale in quantizer.named_parameters():
            if name.endswith(f".{bits}") and scale.requires_grad:
                learned += 1
                assert scale.grad is not None, quantizer.name
                assert float(scale.grad.abs().sum()) > 0, quantizer.name
    assert learned >= 8  # all but, maybe, the input's: binary features are exact


def test_the_graph_may_be_given_in_parts(task: GraphTask) -> None:
    model = build_network("gcn", task.num_features, task.num_classes, hidden_channels=8, weighted=True).eval()
    weight = torch.rand(task.edge_index.shape[1])
    graph = Graph(task.edge_index, task.num_nodes, edge_weight=weight)
    assert torch.equal(model(task.x, graph), model(task.x, task.edge_index, weight))
    assert not torch.equal(model(task.x, graph), model(task.x, task.edge_index))


def test_sparse_features_give_the_same(evaluator: mixq_rl.SupernetEvaluator, task: GraphTask) -> None:
    model = copy.deepcopy(evaluator.model).eval()
    sparse = SparseMatrix.from_dense(task.x)
    for allocation in (None, (4,) * 9):
        with model.allocated(allocation):
            torch.testing.assert_close(model(sparse, task.edge_index), model(task.x, task.edge_index))


def test_features_are_sparse_only_where_the_first_layers_can_take_them() -> None:
    x = torch.eye(40)
    assert isinstance(model_of(linear("a", 40)).features(x), SparseMatrix)
    assert isinstance(model_of(GINConv(linear("a", 40), name="conv1")).features(x), torch.Tensor)


def linear(name: str, inputs: int = FEATURES) -> Linear:
    return Linear(inputs, FEATURES, names=(f"{name}.weight", f"{name}.output"))


def model_of(*layers: nn.Module) -> QuantizableModel:
    """All of them take the input, through dropout."""
    nodes = [Node("dropout", Dropout(0.5), (INPUT,))]
    nodes += [Node(f"layer{index}", layer, ("dropout",)) for index, layer in enumerate(layers)]
    return QuantizableModel(nodes, input_name="net.input")


@pytest.mark.parametrize(
    ("layers", "granularity"),
    [
        ([linear("a")], Granularity.ROW),
        ([GCNConv(FEATURES, 4, name="a"), SAGEConv(FEATURES, 4, name="b")], Granularity.ROW),
        ([GINConv(linear("a"), name="b")], Granularity.COLUMN),
        ([GINConv(linear("a"), name="b"), linear("c")], Granularity.TENSOR),
        ([Activation(torch.tanh, "a.update")], Granularity.TENSOR),
    ],
)
def test_the_input_has_the_finest_scales_that_all_who_take_it_can_carry(
    layers: list[nn.Module], granularity: Granularity
) -> None:
    assert model_of(*layers).input.granularity is granularity


def test_wrong_allocations_are_refused(evaluator: mixq_rl.SupernetEvaluator) -> None:
    model = copy.deepcopy(evaluator.model)
    with pytest.raises(BitWidthError, match="an allocation of 2 bit-widths for 9 components"):
        model.allocation = (2, 2)
    model.allocation = (8,) * 9
    with pytest.raises(BitWidthError, match=r"bit-width 3 of component 'conv2.aggregate' is not among \(2, 4, 8\)"):
        mixq_rl.IntegerModel.freeze(model, (2, 2, 2, 2, 2, 2, 2, 2, 3))
    assert model.allocation == (8,) * 9


def test_float_networks_are_not_frozen(evaluator: mixq_rl.SupernetEvaluator) -> None:
    with pytest.raises(BitWidthError, match=r"bit-width None of component"):
        evaluator.model.freeze()


def test_components_of_one_name_are_refused() -> None:
    with pytest.raises(InputError, match=r"two components are called 'a\.output': give every layer a name of its own"):
        model_of(linear("a"), linear("a"))


def test_capture_shows_every_component_once_and_what_was_executed() -> None:
    graph = make_graph()
    model = model_of(SAGEConv(FEATURES, 4, name="conv1"))
    model.train()
    values, meter = model.capture(features(graph), graph)
    assert set(values) == {quantizer.name for quantizer in model.quantizers}
    assert torch.equal(values["net.input"], features(graph))
    assert len(meter.records) == 3
    assert model.training
    assert not any(quantizer._forward_hooks for quantizer in model.quantizers)


def test_a_seed_gives_the_same_weights_and_leaves_the_generator_alone(task: GraphTask) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = mixq_rl.build_model("gcn", task, hidden_channels=4, seed=1)
    assert torch.equal(torch.rand(3), expected)
    second = mixq_rl.build_model("gcn", task, hidden_channels=4, seed=1)
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)


def test_unknown_model_is_refused_with_the_known_ones(task: GraphTask) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown model 'gcm': known are gcn, .*; did you mean 'gcn'\?"):
        mixq_rl.build_model("gcm", task)
