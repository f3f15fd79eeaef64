import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mixq_rl import IntegerModel, export_program
from mixq_rl.errors import InputError
from mixq_rl.nn import INPUT, Linear, Node, QuantizableModel
from mixq_rl.nn.layer_norm import LayerNorm, normalized
from mixq_rl.nn.operator import Chain
from tests.mixq_rl.nn.networks import (
    FEATURES,
    ODD_GRAPHS,
    calibrated,
    check_equal,
    features,
    make_graph,
    random_allocations,
    real,
)
from tests.mixq_rl.no_float import NoFloat

WIDTH = 7


def around(norm: LayerNorm) -> QuantizableModel:
    """A linear layer, the norm, and another linear layer."""
    first = Linear(FEATURES, WIDTH, names=("lin1.weight", "lin1.output"))
    last = Linear(WIDTH, 3, names=("lin2.weight", "lin2.output"))
    if norm.weight is not None:
        nn.init.normal_(norm.weight)  # some of them negative
    return QuantizableModel([Node("net", Chain(first, norm, last), (INPUT,))], input_name="net.input")


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("relu", [True, False])
def test_float_forward_equals_torch(affine: bool, bias: bool, relu: bool) -> None:
    norm = LayerNorm(FEATURES, "norm.update", epsilon=1e-3, affine=affine, bias=bias, relu=relu)
    theirs = nn.LayerNorm(FEATURES, eps=1e-3, elementwise_affine=affine, bias=bias)
    for name, parameter in norm.named_parameters():
        getattr(theirs, name).data = nn.init.normal_(parameter).detach().clone()
    x = features(make_graph())
    expected = theirs(x)
    torch.testing.assert_close(real(norm, x), expected.relu() if relu else expected)


@given(
    st.lists(st.lists(st.integers(-511, 511), min_size=5, max_size=5), min_size=1, max_size=4),
    st.one_of(st.integers(0, 1000), st.integers(0, 2**60)),
)
def test_normalized_integers_are_those_of_exact_arithmetic(rows: list[list[int]], epsilon: int) -> None:
    with NoFloat():
        found = normalized(torch.tensor(rows, dtype=torch.int64), epsilon)
    for row, got in zip(rows, found.tolist(), strict=True):
        deviations = [5 * value - sum(row) for value in row]
        total = max(sum(value * value for value in deviations) + epsilon, 1)
        for value, result in zip(deviations, got, strict=True):
            exact = math.copysign(math.isqrt((value * value << 80) // total) / 2**14, value)  # 2^26 u / sqrt(T)
            assert abs(result - exact) <= 0.6 + abs(exact) * 2**-29


def test_the_greatest_rows_do_not_overflow() -> None:
    x = torch.full((1, 2**13), -1023, dtype=torch.int64)
    x[0, ::2] = 1023
    found = normalized(x, 2**60)
    expected = 2.0**26 * 2**13 * 1023 / math.sqrt(2**39 * 1023**2 + 2**60)
    assert found[0, 0] == -found[0, 1] == round(expected)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("epsilon", [1e-5, 10.0, 1e3])
def test_integers_equal_fake_quantization(affine: bool, relu: bool, epsilon: float) -> None:
    graph = make_graph()
    norm = LayerNorm(WIDTH, "norm.update", epsilon=epsilon, affine=affine, relu=relu)
    model = calibrated(around(norm), features(graph), graph)
    check_equal(model, features(graph), graph, random_allocations(model, 20))
    for make in ODD_GRAPHS.values():
        odd = make()
        check_equal(model, features(odd, seed=1), odd, random_allocations(model, 3, seed=1))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.floats(1e-3, 1e3))
def test_integers_equal_fake_quantization_at_any_magnitude(seed: int, magnitude: float) -> None:
    graph = make_graph(seed=seed)
    x = features(graph, seed) * magnitude
    model = calibrated(around(LayerNorm(WIDTH, "norm.update")), x, graph, seed)
    check_equal(model, x, graph, random_allocations(model, 2, seed))


def test_eight_bits_are_near_float() -> None:
    graph, x = make_graph(), features(make_graph())
    model = calibrated(around(LayerNorm(WIDTH, "norm.update", relu=True)), x, graph)
    with torch.no_grad():
        model.eval()
        expected = model(x.double(), graph)
    got = IntegerModel.freeze(model, [8] * len(model.quantizers))(x.double(), graph.edge_index)
    assert float((got - expected).norm() / expected.norm()) < 0.03


def test_gradients_reach_all_parameters_at_few_bits() -> None:
    graph = make_graph()
    model = calibrated(around(LayerNorm(WIDTH, "norm.update")), features(graph), graph).float()
    with model.allocated([3] * len(model.quantizers)):
        model(features(graph), graph)[:, 0].sum().backward()
    for name, parameter in model.named_parameters():
        if "scale" not in name:
            assert parameter.grad is not None, name
            assert bool(parameter.grad.any()), name
            assert bool(parameter.grad.isfinite().all()), name


def test_a_saved_network_is_read_again(tmp_path: Path) -> None:
    graph = make_graph()
    model = calibrated(around(LayerNorm(WIDTH, "norm.update")), features(graph), graph)
    frozen = IntegerModel.freeze(model, [4] * len(model.quantizers))
    frozen.save(tmp_path)
    x = features(graph)
    assert torch.equal(IntegerModel.load(tmp_path)(x, graph.edge_index), frozen(x, graph.edge_index))
    assert frozen.steps[1].num_parameters == 2 * WIDTH


def test_an_exported_program_gives_the_same_logits() -> None:
    graph = make_graph()
    model = calibrated(around(LayerNorm(WIDTH, "norm.update")), features(graph), graph)
    frozen = IntegerModel.freeze(model, [4] * len(model.quantizers))
    program = export_program(frozen).module()
    other = make_graph(40, seed=1)
    x = features(other, 1)
    assert torch.equal(program(x, other.edge_index), frozen(x, other.edge_index))


def test_too_many_columns_are_refused() -> None:
    with pytest.raises(InputError, match=r"'norm.update' of 8193 columns: 1 to 8192 are possible"):
        LayerNorm(8193, "norm.update")
