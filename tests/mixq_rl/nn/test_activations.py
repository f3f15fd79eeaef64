from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from mixq_rl import IntegerModel
from mixq_rl.nn import Activation, Chain, Linear
from mixq_rl.nn.activations import lookup_table, table_entries
from mixq_rl.quantization import IntegerRange, Quantizer
from tests.conftest import ALL_BITS
from tests.mixq_rl.nn.networks import (
    FEATURES,
    KINDS,
    calibrated,
    check_equal,
    check_layer,
    features,
    make_graph,
    network,
    real,
)

FUNCTIONS: list[Callable[[Tensor], Tensor]] = [
    nn.functional.elu,
    torch.tanh,
    torch.sigmoid,
    nn.LeakyReLU(0.2),
    nn.functional.gelu,
]
RANGES = [IntegerRange(bits, signed) for bits in ALL_BITS for signed in (True, False)]


def quantizer(offered: IntegerRange, scale: float, zero_point: int = 0) -> Quantizer:
    return Quantizer(offered, torch.tensor(scale, dtype=torch.float64), 0 if offered.is_sign else zero_point)


def make_layer(function: Callable[[Tensor], Tensor]) -> Chain:
    return Chain(Linear(FEATURES, 5, names=("lin.weight", "lin.output")), Activation(function, "act.update"))


@pytest.mark.parametrize("source", RANGES)
@pytest.mark.parametrize("result", RANGES)
def test_table_holds_the_function_at_every_integer(source: IntegerRange, result: IntegerRange) -> None:
    before, after = quantizer(source, 0.13, 1), quantizer(result, 0.05, -1)
    table = lookup_table(before, torch.tanh, after)
    assert table.dtype == result.dtype
    assert table.numel() == 2**source.bits
    integers = [-1, 1] if source.is_sign else list(range(source.minimum, source.maximum + 1))
    indices = table_entries(torch.tensor(integers, dtype=torch.int16), source)
    assert indices.tolist() == list(range(2**source.bits))
    for integer, entry in zip(integers, table.tolist(), strict=True):
        x = torch.tensor((integer - before.zero_point) * 0.13, dtype=torch.float64)
        assert entry == int(after.integers(torch.tanh(x)))


def test_indices_are_found_for_integers_held_in_floating_point() -> None:
    for offered in RANGES:
        integers = torch.arange(offered.minimum, offered.maximum + 1, offered.step)
        for dtype in (torch.float32, torch.float64, torch.int16):
            assert torch.equal(table_entries(integers.to(dtype), offered), torch.arange(2**offered.bits))


def test_float_forward_is_the_function() -> None:
    x = torch.randn(5, 3)
    assert torch.equal(real(Activation(nn.functional.elu, "act.update"), x), nn.functional.elu(x))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_integers_equal_fake_quantization(kind: str, function: Callable[[Tensor], Tensor]) -> None:
    check_layer(make_layer(function), kind, count=50 if function is FUNCTIONS[0] else 10)


def test_integers_equal_fake_quantization_at_every_pair_of_bit_widths() -> None:
    graph = make_graph()
    model = calibrated(network(make_layer(nn.functional.elu)), features(graph), graph)
    allocations = [(8, 8, before, after) for before in ALL_BITS for after in ALL_BITS]
    check_equal(model, features(graph), graph, allocations)


def test_the_input_itself_can_be_activated() -> None:
    check_layer(Activation(torch.tanh, "act.update"), "node", count=50)


def test_more_bits_come_closer_to_the_function() -> None:
    graph = make_graph()
    model = calibrated(network(make_layer(nn.functional.elu)), features(graph), graph)
    with model.evaluating():
        exact = model(features(graph).double(), graph)
    errors = []
    for bits in (2, 4, 8):
        logits = IntegerModel.freeze(model, [8, 8, bits, bits])(features(graph).double(), graph.edge_index)
        errors.append(float((logits - exact).square().mean()))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-3 * float(exact.square().mean())


def test_gradients_are_near_those_of_the_function() -> None:
    graph = make_graph()
    layer = make_layer(nn.functional.elu)
    model = calibrated(network(layer), features(graph), graph)
    x = features(graph).double()

    def gradient(bits: int | None) -> Tensor:
        model.zero_grad()
        with model.allocated(None if bits is None else [bits] * 4):
            model(x, graph).square().sum().backward()
        weight_grad = layer.parts[0].weight.grad
        assert weight_grad is not None
        return weight_grad.clone()

    exact, quantized = gradient(None), gradient(8)  # values that are clamped have none
    assert float(nn.functional.cosine_similarity(exact.flatten(), quantized.flatten(), dim=0)) > 0.9


def test_says_what_it_is() -> None:
    assert "elu" in repr(Activation(nn.functional.elu, "act.update"))
    assert "LeakyReLU" in repr(Activation(nn.LeakyReLU(), "act.update"))
