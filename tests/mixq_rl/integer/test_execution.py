"""Execution in one native call against execution step by step."""

import gc
import random
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

import mixq_rl
from mixq_rl import kernels
from mixq_rl.errors import InputError, InvalidGraphError
from mixq_rl.graph import Graph
from mixq_rl.integer import execution
from mixq_rl.integer.execution import PreparedGraph, execute, execute_steps
from mixq_rl.kernels import Pipeline, cpu
from mixq_rl.metering import OpMeter
from mixq_rl.nn import build_network
from mixq_rl.quantization import QTensor
from tests.conftest import ALL_BITS
from tests.mixq_rl.nn.networks import calibrated, features, make_graph

needs_native_kernels = pytest.mark.skipif(not cpu.instruction_sets(), reason="the native kernels are not built")


def frozen(
    layer: str = "gcn", bits: int | None = None, seed: int = 0
) -> tuple[mixq_rl.IntegerModel, Graph, torch.Tensor]:
    graph = make_graph()
    x = features(graph)
    model = calibrated(build_network(layer, x.shape[1], 3, hidden_channels=24), x, graph)
    draw = random.Random(seed)
    allocation = [draw.choice(ALL_BITS) if bits is None else bits for _ in model.quantizers]
    return mixq_rl.IntegerModel.freeze(model, allocation), graph, x


def pipeline_of(prepared: PreparedGraph) -> kernels.Pipeline | None:
    ((_, pipeline),) = prepared._pipelines.values()
    return pipeline


def equal(left: QTensor, right: QTensor) -> bool:
    same = (left.range, left.zero_point, left.row) == (right.range, right.zero_point, right.row)
    return same and torch.equal(left.payload.data, right.payload.data) and torch.equal(left.scale, right.scale)


@needs_native_kernels
@pytest.mark.parametrize("backend", cpu.instruction_sets())
@pytest.mark.parametrize("layer", ["gcn", "sage", "gin", "tag"])
@pytest.mark.parametrize("seed", range(4))
def test_one_native_call_gives_the_integers_of_the_steps(backend: str, layer: str, seed: int) -> None:
    model, graph, x = frozen(layer, seed=seed)
    integers, prepared = model.quantize_features(x), model.quantize_graph(graph)
    with kernels.using("reference"):
        expected = execute_steps(model, integers, prepared)
    with kernels.using(backend):
        assert equal(model.execute(integers, prepared), expected)
        assert equal(model.execute(integers, prepared), expected)  # in the same memory
    assert pipeline_of(prepared) is not None


@needs_native_kernels
def test_networks_of_other_steps_are_executed_step_by_step() -> None:
    model, graph, x = frozen("gat")
    integers, prepared = model.quantize_features(x), model.quantize_graph(graph)
    assert equal(model.execute(integers, prepared), execute_steps(model, integers, prepared))
    assert pipeline_of(prepared) is None


@needs_native_kernels
def test_a_meter_sees_every_operation(monkeypatch: pytest.MonkeyPatch) -> None:
    model, graph, x = frozen()
    integers, prepared = model.quantize_features(x), model.quantize_graph(graph)
    model.execute(integers, prepared)
    with OpMeter() as meter:
        model.execute(integers, prepared)
    assert [record.kind for record in meter.records] == ["linear", "aggregate"] * 2


@needs_native_kernels
@pytest.mark.parametrize("bits", [1, 2, 8])
def test_writes_to_a_weight_are_noticed(bits: int) -> None:
    model, graph, x = frozen(bits=bits)
    integers, prepared = model.quantize_features(x), model.quantize_graph(graph)
    before = model.execute(integers, prepared)
    weight = model.steps[0].weight.payload.data  # type: ignore[attr-defined]
    weight.bitwise_not_()
    after = model.execute(integers, prepared)
    assert equal(after, execute_steps(model, integers, prepared))
    assert not equal(after, before)


@needs_native_kernels
def test_writes_to_the_graph_are_checked() -> None:
    model, graph, x = frozen()
    integers, prepared = model.quantize_features(x), model.quantize_graph(graph)
    expected = model.execute(integers, prepared)
    col = prepared[1].csr.col
    col.numpy()[3] += 1000  # which torch's version counter does not see
    with pytest.raises(InvalidGraphError, match="col names node 10"):
        model.execute(integers, prepared)
    col.numpy()[3] -= 1000
    assert equal(model.execute(integers, prepared), expected)


@needs_native_kernels
def test_a_storage_that_was_resized_is_refused() -> None:
    model, graph, x = frozen()
    integers, prepared = model.quantize_features(x), model.quantize_graph(graph)
    model.execute(integers, prepared)
    prepared[1].csr.col.untyped_storage().resize_(4)
    with pytest.raises(InputError, match="the storage was resized"):
        model.execute(integers, prepared)


@needs_native_kernels
def test_features_of_another_kind_are_not_given_to_the_pipeline() -> None:
    model, graph, x = frozen(bits=8)
    other, _, _ = frozen(bits=4)
    prepared = model.quantize_graph(graph)
    integers = other.quantize_features(x)
    assert equal(execute(model, integers, prepared), execute_steps(model, integers, prepared))


@needs_native_kernels
def test_threads_share_a_prepared_graph() -> None:
    model, graph, x = frozen(bits=2)
    integers, prepared = model.quantize_features(x), model.quantize_graph(graph)
    expected = model.execute(integers, prepared)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: model.execute(integers, prepared), range(200)))
    assert all(equal(result, expected) for result in results)


@needs_native_kernels
def test_the_pipeline_goes_with_the_prepared_graph() -> None:
    model, graph, x = frozen()
    prepared = model.quantize_graph(graph)
    model.execute(model.quantize_features(x), prepared)
    known = weakref.ref(pipeline_of(prepared))
    del prepared
    gc.collect()
    assert known() is None


@needs_native_kernels
def test_a_plain_tuple_is_executed_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    model, graph, x = frozen()
    integers, prepared = model.quantize_features(x), model.quantize_graph(graph)
    called = []
    monkeypatch.setattr(execution, "execute_steps", lambda *given: called.append(given) or execute_steps(*given))
    model.execute(integers, tuple(prepared))
    assert len(called) == 1


@needs_native_kernels
def test_calls_with_the_same_graph_share_a_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    model, graph, x = frozen()
    made = []
    monkeypatch.setattr(kernels, "Pipeline", lambda *given: made.append(given) or Pipeline(*given))
    expected = model(x, graph.edge_index)
    assert torch.equal(model(x, graph.edge_index), expected)
    assert len(made) == 1
    assert torch.equal(model(x, graph.edge_index.clone()), expected)
    assert len(made) == 2
