"""Batch normalisation of quantized networks against PyTorch's own."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from mixq_rl.nn import INPUT, Add, Linear, Node, QuantizableModel
from mixq_rl.nn.batch_norm import Moments, factor_and_shift, orientation
from tests.mixq_rl.nn.networks import FEATURES, calibrated, features, make_graph

COLUMNS = 5


def make_norm(*, affine: bool = True, momentum: float | None = 0.1) -> nn.BatchNorm1d:
    norm = nn.BatchNorm1d(COLUMNS, affine=affine, momentum=momentum)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    if affine:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    return norm


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize("affine", [True, False])
def test_running_statistics_act_as_the_norm_does(affine: bool) -> None:
    norm = make_norm(affine=affine).eval()
    x = torch.randn(7, COLUMNS)
    for bias in (torch.zeros(COLUMNS), torch.randn(COLUMNS)):
        factor, shift = factor_and_shift(norm, bias=bias)
        torch.testing.assert_close(x * factor + shift, copy.deepcopy(norm).double()((x + bias).double()))


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("momentum", [0.1, 0.7, None])
def test_statistics_of_a_batch_act_as_the_norm_does_in_training(affine: bool, momentum: float | None) -> None:
    norm = make_norm(affine=affine, momentum=momentum)
    theirs, bias = copy.deepcopy(norm), torch.randn(COLUMNS)
    for _ in range(3):
        x = torch.randn(7, COLUMNS) * 3 + 1
        factor, shift = factor_and_shift(norm, Moments.of(x), bias=bias)
        torch.testing.assert_close((x * factor + shift).float(), theirs(x + bias), rtol=1e-4, atol=1e-5)
    for name, buffer in norm.named_buffers():
        torch.testing.assert_close(buffer, dict(theirs.named_buffers())[name])


@pytest.mark.usefixtures("seeded")
def test_a_batch_of_one_row_has_no_variance_and_the_running_statistics_serve() -> None:
    norm = make_norm()
    before = copy.deepcopy(norm)
    got, expected = factor_and_shift(norm, Moments.of(torch.randn(1, COLUMNS))), factor_and_shift(norm)
    assert all(map(torch.equal, got, expected))
    assert all(map(torch.equal, norm.buffers(), before.buffers()))


@pytest.mark.parametrize("values", [0.0, 1.0, -1000.0, 1e6])
def test_a_constant_column_has_a_finite_small_shift(values: float) -> None:
    norm = nn.BatchNorm1d(COLUMNS)
    with torch.no_grad():
        factor, shift = factor_and_shift(norm, Moments.of(torch.full((9, COLUMNS), values)))
    assert bool(factor.isfinite().all())
    assert float(shift.abs().max()) <= 20
    assert float((values * factor + shift).abs().max()) < 1e-9


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize("step", [1e-6, 1e-3, 1.0])
@pytest.mark.parametrize("bias", [None, torch.full((COLUMNS,), -100.0)])
def test_a_shift_fits_the_fixed_point_of_the_result(bias: Tensor | None, step: float) -> None:
    norm = make_norm()
    nn.init.zeros_(norm.bias)
    x = 100 + 1e-3 * torch.randn(9, COLUMNS)
    with torch.no_grad():
        small = torch.tensor(step, dtype=torch.float64)
        _, shift = factor_and_shift(norm, Moments.of(x), bias=bias, step=small)
    assert float(shift.abs().max()) <= min(2048 * step, 20 * float(norm.weight.detach().abs().max())) * (1 + 1e-6)


@pytest.mark.usefixtures("seeded")
def test_moments_of_a_scaled_batch() -> None:
    x, factor = torch.randn(7, COLUMNS).double(), torch.randn(COLUMNS).double()
    for got, expected in (
        (Moments.of(x).times(factor), Moments.of(x * factor)),
        (Moments.of(x).times(factor[0]), Moments.of(x * factor[0])),
    ):
        torch.testing.assert_close(got.mean, expected.mean)
        torch.testing.assert_close(got.variance, expected.variance)
        assert got.rows == 7


def test_orientation_is_the_sign_of_the_factors() -> None:
    norm = nn.BatchNorm1d(3)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([-2.0, 0.0, 3.0]))
    signs = orientation(norm)
    assert signs is not None
    assert signs.tolist() == [-1, 1, 1]
    assert orientation(nn.BatchNorm1d(3, affine=False)) is None
    assert orientation(None) is None


def make_first() -> Node:
    return Node("first", Linear(FEATURES, COLUMNS, names=("first.weight", "first.output")), (INPUT,))


def make_second(norm: nn.BatchNorm1d) -> Node:
    return Node("second", Linear(COLUMNS, COLUMNS, names=("second.weight", "second.output"), norm=norm), ("first",))


NETWORKS: dict[str, Callable[[nn.BatchNorm1d], list[Node]]] = {
    "linear of rows with scales": lambda norm: [
        Node("lin", Linear(FEATURES, COLUMNS, names=("lin.weight", "lin.output"), norm=norm), (INPUT,))
    ],
    "linear": lambda norm: [make_first(), make_second(norm)],
    "sum": lambda norm: [make_first(), Node("add", Add("add.update", norm=norm), ("first", "first"))],
}


def make_network(name: str) -> tuple[QuantizableModel, nn.BatchNorm1d, Tensor]:
    graph, norm = make_graph(), make_norm()
    x = features(graph)
    x = x * torch.linspace(0.1, 10, len(x))[:, None]
    return calibrated(QuantizableModel(NETWORKS[name](norm), input_name="input"), x, graph), norm, x.double()


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize("name", NETWORKS)
def test_quantized_training_normalises_by_the_statistics_of_the_batch(name: str) -> None:
    """With 8 bits a quantized network is close to the float network, also where the running statistics are wrong."""
    model, norm, x = make_network(name)
    norm.running_mean.add_(3)
    theirs = copy.deepcopy(norm).train()
    seen: list[Tensor] = []
    float_norm = norm.register_forward_hook(lambda module, inputs, result: seen.append(inputs[0].detach()))
    model.train()
    expected = model(x, make_graph()).detach()
    float_norm.remove()
    norm.load_state_dict(theirs.state_dict())
    with model.allocated([8] * len(model.quantizers)):
        got = model(x, make_graph())
    theirs(seen[0])
    spread = float(theirs.weight.detach().abs().max())
    assert float((got - expected).detach().abs().median()) < 0.05 * spread
    torch.testing.assert_close(norm.running_mean, theirs.running_mean, rtol=0.05, atol=0.05)
    torch.testing.assert_close(norm.running_var, theirs.running_var, rtol=0.1, atol=0.05)


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("bits", [1, 2, 8])
def test_gradients_of_training_reach_weight_and_norm(name: str, bits: int) -> None:
    model, norm, x = make_network(name)
    model.train()
    with model.allocated([bits] * len(model.quantizers)):
        result = model(x, make_graph())
    (result * torch.randn_like(result)).sum().backward()
    for parameter in (norm.weight, norm.bias, model.layers[0].weight):
        assert parameter.grad is not None
        assert bool(parameter.grad.isfinite().all())
        assert bool(parameter.grad.any())


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize("name", NETWORKS)
def test_an_evaluating_norm_keeps_its_statistics_while_the_rest_trains(name: str) -> None:
    model, norm, x = make_network(name)
    before = copy.deepcopy(norm)
    model.eval()
    with model.allocated([4] * len(model.quantizers)):
        expected = model(x, make_graph())
        model.train()
        norm.eval()
        assert torch.equal(model(x, make_graph()), expected)
    assert all(map(torch.equal, norm.buffers(), before.buffers()))
