"""Networks with a scaling of their features: exact, saved, exported, and the same on every backend."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import mixq_rl
from mixq_rl import IntegerModel, kernels
from mixq_rl.errors import ArtifactError, InputError
from mixq_rl.nn import GCNConv, GINConv, Linear, QuantizableModel
from mixq_rl.quantization import FeatureScaling
from tests.hostile.mutations import signed
from tests.mixq_rl.nn.networks import (
    FEATURES,
    calibrated,
    check_equal,
    features,
    make_graph,
    network,
    random_allocations,
)

GRAPH = make_graph()
SCALES = torch.tensor([1.0, 1e6, 1, 1e-3, 1, 30])
LAYERS = {
    "rows": lambda: GCNConv(FEATURES, 3, name="net"),
    "columns": lambda: GINConv(Linear(FEATURES, 3, names=("net.weight", "net.update")), name="net"),
}


def far_apart() -> Tensor:
    x = features(GRAPH) * SCALES
    x[:, 5] += 2020
    return x


def scaled(layer: nn.Module) -> QuantizableModel:
    x, model = far_apart(), network(layer)
    model.scaling = FeatureScaling.fitted(x)
    assert model.scaling is not None
    assert model.scaling.offset is not None
    return calibrated(model, x, GRAPH)


@pytest.fixture(scope="module")
def frozen() -> IntegerModel:
    model = scaled(LAYERS["rows"]())
    return IntegerModel.freeze(model, [8] * len(model.quantizers))


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_integers_equal_fake_quantization(make: type[nn.Module]) -> None:
    model = scaled(make())
    check_equal(model, far_apart(), GRAPH, random_allocations(model, 10))


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_a_network_of_scaled_features_is_the_network_with_the_scaling_before_it(make: type[nn.Module]) -> None:
    torch.manual_seed(0)
    model, x = scaled(make()), far_apart()
    plain = network(make())
    assert model.scaling is not None
    plain.load_state_dict({name: value for name, value in model.state_dict().items() if "quantizer" not in name}, False)
    plain = calibrated(plain, model.scaling(x), GRAPH)
    before = model.scaling(x.double())
    allocation = [8] * len(model.quantizers)
    one, other = IntegerModel.freeze(model, allocation), IntegerModel.freeze(plain, allocation)
    assert torch.equal(one(x.double(), GRAPH.edge_index), other(before, GRAPH.edge_index))


@pytest.mark.parametrize("backend", kernels.backends())
def test_every_backend_gives_the_same(frozen: IntegerModel, backend: str) -> None:
    expected = frozen(far_apart(), GRAPH.edge_index)
    with kernels.using(backend):
        assert torch.equal(frozen(far_apart(), GRAPH.edge_index), expected)


def test_a_program_gives_the_same(frozen: IntegerModel) -> None:
    program = mixq_rl.export_program(frozen).module()
    assert torch.equal(program(far_apart(), GRAPH.edge_index), frozen(far_apart(), GRAPH.edge_index))


def test_a_saved_network_keeps_its_scaling(frozen: IntegerModel, tmp_path: Path) -> None:
    frozen.save(tmp_path)
    loaded = IntegerModel.load(tmp_path)
    assert loaded.scaling is not None
    assert torch.equal(loaded(far_apart(), GRAPH.edge_index), frozen(far_apart(), GRAPH.edge_index))
    assert json.loads((tmp_path / "integer_model.json").read_text())["version"] == 6


def test_a_network_without_scaling_is_saved_without_it(tmp_path: Path) -> None:
    model = calibrated(network(LAYERS["rows"]()), features(GRAPH), GRAPH)
    frozen = IntegerModel.freeze(model, [8] * len(model.quantizers))
    frozen.save(tmp_path)
    document = json.loads((tmp_path / "integer_model.json").read_text())
    assert document["model"]["scaling"] is None
    loaded = IntegerModel.load(tmp_path)
    assert torch.equal(loaded(features(GRAPH), GRAPH.edge_index), frozen(features(GRAPH), GRAPH.edge_index))


def test_a_scaling_of_a_file_is_checked(frozen: IntegerModel, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="scaling has 2 columns, the steps 6"):
        replace(frozen, scaling=FeatureScaling(torch.ones(2, dtype=torch.float64), None))
    frozen.save(tmp_path)
    file = tmp_path / "integer_model.json"
    document = json.loads(file.read_text())
    document["model"]["scaling"]["factor"] = None
    file.write_text(json.dumps(document))
    signed(tmp_path, "integer_model")
    with pytest.raises(ArtifactError, match=r"scaling\.factor"):
        IntegerModel.load(tmp_path)


def test_the_number_of_features_is_that_of_the_scaling(frozen: IntegerModel) -> None:
    assert frozen.num_features == FEATURES
    with pytest.raises(InputError, match="5 features a node where the model takes 6"):
        frozen(far_apart()[:, :5], GRAPH.edge_index)


def test_state_and_device_of_the_scaling_are_those_of_the_model() -> None:
    model = scaled(LAYERS["rows"]())
    assert {"feature_factor", "feature_offset"} <= model.state_dict().keys()
    model.scaling = None
    assert "feature_factor" not in model.state_dict()
