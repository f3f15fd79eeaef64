"""Weights that are computed, wrapped models, dtypes, hooks: what a model is before it is traced."""

import copy
import logging
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch_geometric.nn as pyg
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune, spectral_norm, weight_norm
from torch.optim.swa_utils import AveragedModel

from mixq_rl import fit
from mixq_rl.errors import InputError, UnsupportedLayerError
from mixq_rl.nn import prepare
from tests.mixq_rl.nn.conversion.accepting import FEATURES, accept, answer
from tests.mixq_rl.nn.float_models import CLASSES, names, node_task, random_graph

pytestmark = pytest.mark.usefixtures("seeded")


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.conv, self.last = nn.Linear(FEATURES, 8), pyg.GCNConv(8, 8), nn.Linear(8, CLASSES)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.last(self.conv(self.first(x).relu(), edge_index).relu())


class Symmetric(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight.triu() + weight.triu(1).t()


def changed(change: Callable[[Net], Any]) -> Net:
    model = Net()
    change(model)
    return model


COMPUTED: dict[str, Callable[[Net], Any]] = {
    "weight_norm by hook": lambda m: weight_norm(m.first),
    "weight_norm of a convolution's layer": lambda m: weight_norm(m.conv.lin),
    "weight_norm": lambda m: parametrizations.weight_norm(m.first),
    "spectral_norm by hook": lambda m: spectral_norm(m.last),
    "spectral_norm": lambda m: parametrizations.spectral_norm(m.conv.lin),
    "orthogonal": lambda m: parametrizations.orthogonal(m.conv.lin),
    "own parametrization": lambda m: parametrize.register_parametrization(m.conv.lin, "weight", Symmetric()),
    "two parametrizations": lambda m: (
        parametrizations.weight_norm(m.first),
        parametrize.register_parametrization(m.first, "bias", nn.Softplus()),
    ),
    "pruned": lambda m: prune.l1_unstructured(m.first, "weight", amount=0.5),
    "pruned twice": lambda m: (
        prune.random_unstructured(m.last, "bias", amount=1),
        prune.ln_structured(m.last, "weight", amount=0.3, n=2, dim=1),
    ),
    "all layers": lambda m: [weight_norm(layer) for layer in (m.first, m.conv.lin, m.last)],
}


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning", "ignore:.*spectral_norm.*:FutureWarning")
@pytest.mark.parametrize("change", COMPUTED.values(), ids=COMPUTED)
def test_computed_weights_are_folded(change: Callable[[Net], Any]) -> None:
    model = changed(change)
    parameters, kinds = len(list(model.parameters())), [type(module) for module in model.modules()]
    model(torch.randn(5, FEATURES), torch.tensor([[0], [1]]))  # the hooks leave a computed weight behind
    accept(model)
    assert len(list(model.parameters())) == parameters
    assert [type(module) for module in model.modules()] == kinds
    model(torch.randn(5, FEATURES), torch.tensor([[0], [1]])).sum().backward()


def test_pruned_weights_are_named(caplog: pytest.LogCaptureFixture) -> None:
    prepare(changed(COMPUTED["pruned"]))
    assert "pruned weights of 'first'" in caplog.text


def test_frozen_weights_stay_frozen(x: Tensor) -> None:
    model = Net()
    parametrizations.weight_norm(model.first)
    model.first.requires_grad_(False)
    model.conv.lin.weight.requires_grad_(False)
    task = node_task(x, random_graph())
    prepared = prepare(model, task)
    frozen = {name: value.clone() for name, value in prepared.named_parameters() if not value.requires_grad}
    assert len(frozen) == 3
    fit(prepared, task, epochs=2)
    assert all(torch.equal(prepared.get_parameter(name), value) for name, value in frozen.items())


def test_kept_results_are_copied() -> None:
    """A model may hold tensors that an operation computed."""
    model = Net()
    model.history = [model(torch.randn(5, FEATURES), torch.tensor([[0], [1]]))]
    model.last_hidden = {"h": model.history[0] * 2}
    accept(model)


class Nested(nn.Module):
    """A wrapped encoder, layers in lists and dictionaries."""

    def __init__(self, wrap: Callable[[nn.Module], nn.Module]) -> None:
        super().__init__()
        self.encoder = wrap(pyg.GCN(FEATURES, 8, 2))
        self.heads = nn.ModuleDict({"node": nn.ModuleList([nn.Linear(8, CLASSES)])})

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.heads["node"][0](self.encoder(x, edge_index).relu())


WRAPPERS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "torch.compile": torch.compile,
    "DataParallel": nn.DataParallel,
    "AveragedModel": AveragedModel,
    "twice": lambda model: torch.compile(nn.DataParallel(model)),
    "compiled in place": lambda model: (model.compile(), model)[1],
}


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_wrapped_models(wrap: Callable[[nn.Module], nn.Module], x: Tensor) -> None:
    model, graph = pyg.GCN(FEATURES, 8, 2, CLASSES).eval(), random_graph()
    expected = answer(copy.deepcopy(model), x, graph)
    prepared = prepare(wrap(model))
    torch.testing.assert_close(prepared.eval()(x, graph), expected, rtol=1e-5, atol=1e-6)
    assert names(prepared)[0] == "convs.0.input"
    plain = Nested(lambda module: module).eval()
    expected = answer(copy.deepcopy(plain), x, graph)
    plain.encoder = wrap(plain.encoder)
    nested = prepare(plain)
    torch.testing.assert_close(nested.eval()(x, graph), expected, rtol=1e-5, atol=1e-6)
    assert names(nested)[0] == "encoder.convs.0.input"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_dtypes_become_float32(dtype: torch.dtype, caplog: pytest.LogCaptureFixture, x: Tensor) -> None:
    model = Net().to(dtype)
    prepared = prepare(model, node_task(x, random_graph()))
    assert {parameter.dtype for parameter in prepared.parameters()} == {torch.float32}
    assert {parameter.dtype for parameter in model.parameters()} == {dtype}
    (line,) = caplog.messages
    assert str(dtype).removeprefix("torch.") in line
    accept(model.to(torch.float64).float())


def test_layers_without_weights_get_them_from_the_task(x: Tensor) -> None:
    class Lazy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.last = pyg.GCNConv(-1, 8), nn.LazyLinear(CLASSES)

        def forward(self, g: Any) -> Tensor:
            return self.last(self.conv(g.x, g.edge_index).relu())

    model = Lazy()
    prepared = prepare(model, node_task(x, random_graph()))
    assert prepared(x, random_graph()).shape == (x.shape[0], CLASSES)
    assert isinstance(model.last.weight, nn.UninitializedParameter)
    with pytest.raises(
        UnsupportedLayerError, match=r"'conv' \(GCNConv\) has no weights yet: call the model once, or .*task"
    ):
        prepare(model)


def hetero() -> nn.Module:
    metadata = (["a", "b"], [("a", "to", "b"), ("b", "to", "a")])
    return pyg.to_hetero(pyg.GraphSAGE((-1, -1), 8, 2), metadata)


class Tied(Net):
    def __init__(self) -> None:
        super().__init__()
        self.second = nn.Linear(FEATURES, 8)
        self.second.weight = self.first.weight


class Locked(Net):
    def __init__(self) -> None:
        super().__init__()
        self.conv.kept = (number for number in range(3))


def hooked(kind: str, path: str) -> nn.Module:
    model = Net()
    getattr(model.get_submodule(path), f"register_{kind}")(lambda *_: None)
    return model


def patched() -> nn.Module:
    model = Net()
    model.conv.forward = lambda x, edge_index: x
    return model


class ByType(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = pyg.HeteroConv({("a", "to", "a"): pyg.SAGEConv(FEATURES, CLASSES)})

    def forward(self, x_dict: Any, edge_index_dict: Any) -> Any:
        return self.conv(x_dict, edge_index_dict)


REFUSED: list[tuple[Callable[[], Any], str]] = [
    (
        lambda: torch.jit.script(nn.Sequential(nn.Linear(FEATURES, CLASSES))),
        r"the model .* is TorchScript, .*: give the",
    ),
    (lambda: Nested(lambda _: torch.jit.script(nn.Linear(FEATURES, 8))), r"layer 'encoder' .* is TorchScript"),
    (hetero, r"for graphs of several types: merge .*to_homogeneous"),
    (ByType, r"layer 'conv' \(HeteroConv\) is for graphs of several types: merge"),
    (Tied, r"'first.weight' and 'second.weight' are one tensor: call one layer twice"),
    (Locked, r"attribute 'kept' of layer 'conv' \(GCNConv\) cannot be copied \(.+\): leave it out"),
    (lambda: hooked("forward_hook", ""), r"the model \(Net\) has forward hooks: remove them"),
    (lambda: hooked("forward_pre_hook", "conv.lin"), r"layer 'conv.lin' \(Linear\) has forward hooks"),
    (patched, r"layer 'conv' \(GCNConv\) has a forward of its own: make it a class"),
    (lambda: Net().to("meta"), r"'first.weight' has no values \(device meta\): load the weights"),
    (lambda: "gcn", r"the model is a str: give a torch.nn.Module"),
    (lambda: Net, r"the model is a type: give a torch.nn.Module"),
    (lambda: nn.ModuleList([nn.Linear(2, 2)]), r"takes no features|has no forward"),
]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_what_is_refused_by_name(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        prepare(make())


def test_an_unused_layer_is_named(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    model = Net()
    model.spare = pyg.GCN(FEATURES, 8, 2)
    model.alpha = nn.Parameter(torch.ones(1))
    accept(model)
    assert "forward never uses the weights of 'alpha', 'spare': they are left out" in caplog.messages
