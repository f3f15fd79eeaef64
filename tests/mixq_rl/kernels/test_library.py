"""The operators as torch sees them, and what they refuse."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import mixq_rl
from mixq_rl import kernels
from mixq_rl.datasets import GraphTask
from mixq_rl.errors import InputError, InvalidGraphError
from mixq_rl.kernels.arguments import Matrix, Rescale
from mixq_rl.nn import models
from mixq_rl.quantization import FixedPoint, IntegerRange, PackedRows, QTensor, Requantization
from mixq_rl.training import calibrate

ROWPTR = torch.tensor([0, 2, 2, 5], dtype=torch.int32)
COL = torch.tensor([0, 1, 2, 2, 3], dtype=torch.int32)
ALPHA = torch.tensor([0, 255, 3, 200, 100], dtype=torch.uint8)
X = PackedRows.pack(torch.arange(-8, 28).remainder(16).sub(8).to(torch.int8).view(4, 9), IntegerRange(4, True))
WEIGHT = PackedRows.pack(torch.arange(45).remainder(4).sub(2).to(torch.int8).view(9, 5), IntegerRange(2, True))
ROW = FixedPoint.nearest(torch.tensor([[0.5], [0.25], [0.9]]), 30)


def rescale(columns: int, row: FixedPoint | None) -> tuple[Any, ...]:
    scale = torch.full((columns,), 0.01, dtype=torch.float64)
    exponent = None if row is None else row.exponent
    bias = torch.ones(columns, dtype=torch.float64)
    how = Requantization.from_scales(scale, bias, exponent, IntegerRange(4, False), 0)
    return tuple(Rescale.of(how, row))


LINEAR = (*Matrix.of(X, 3), *Matrix.of(WEIGHT))
AGGREGATE = (ROWPTR, COL, ALPHA, 2, *Matrix.of(X, 1))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("linear", LINEAR),
        ("linear_out", (*LINEAR, torch.empty(4, 5, dtype=torch.int32))),
        ("linear_requantize", (*LINEAR, *rescale(5, None))),
        ("aggregate", AGGREGATE),
        ("aggregate_out", (*AGGREGATE, torch.empty(3, 9, dtype=torch.int32))),
        ("aggregate_requantize", (*AGGREGATE, *rescale(9, ROW))),
        ("aggregate_requantize", (ROWPTR, COL, None, 0, *Matrix.of(X, 1), *rescale(9, None))),
    ],
)
def test_opcheck(name: str, arguments: tuple[Any, ...]) -> None:
    outcome = torch.library.opcheck(getattr(torch.ops.mixq_rl, name).default, arguments)
    assert set(outcome.values()) == {"SUCCESS"}


class Network(torch.nn.Module):
    """A frozen network on one graph, from the features' packed integers to the logits'."""

    def __init__(self, model: mixq_rl.IntegerModel, task: GraphTask) -> None:
        super().__init__()
        inputs = task.inputs("train")
        self.model = model
        self.features = model.quantize_features(inputs.x)
        self.graph = model.quantize_graph(inputs.graph)

    def forward(self, data: Tensor) -> Tensor:
        payload = PackedRows(data, self.features.payload.columns, self.features.range)
        features = QTensor(payload, self.features.scale, self.features.zero_point, self.features.row)
        return self.model.execute(features, self.graph).payload.data


@pytest.fixture(scope="module")
def network(any_bit_evaluator: mixq_rl.SupernetEvaluator, task: GraphTask) -> Network:
    return Network(any_bit_evaluator.freeze((4, 2, 8, 4, 2, 8, 1, 3, 4)), task)


def test_a_compiled_network_gives_the_same_integers(network: Network) -> None:
    data = network.features.payload.data
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(data), network(data))


@pytest.mark.parametrize(
    "name",
    ["gcn", "gat", *(pytest.param(name, marks=pytest.mark.slow) for name in models if name not in ("gcn", "gat"))],
)
def test_networks_of_any_layers_are_compiled_and_exported(name: str, graph_task: GraphTask) -> None:
    torch.compiler.reset()  # torch counts all networks of one class together, and compiles at most eight
    model = mixq_rl.build_model(name, graph_task, hidden_channels=8, num_layers=1)
    calibrate(model, graph_task, (4,))
    network = Network(mixq_rl.IntegerModel.freeze(model, [4] * len(model.quantizers)), graph_task)
    data = network.features.payload.data
    expected = network(data)
    assert torch.equal(torch.compile(network, fullgraph=True, backend="aot_eager")(data), expected)
    assert torch.equal(torch.export.export(network, (data,)).module()(data), expected)


@pytest.mark.parametrize("strict", [False, True])
def test_an_exported_network_gives_the_same_integers(network: Network, strict: bool) -> None:
    data = network.features.payload.data
    program = torch.export.export(network, (data,), strict=strict)
    called = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert called == {"mixq_rl.linear_requantize.default", "mixq_rl.aggregate_requantize.default"}
    assert torch.equal(program.module()(data), network(data))


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (TypeError, "x holds int8 or uint8", lambda: kernels.linear(torch.ones(2, 2), torch.ones(2, 2).to(torch.int8))),
        (TypeError, "weight holds int8", lambda: kernels.linear(X, torch.ones(9, 2, dtype=torch.uint8))),
        (InputError, "inner dimensions must agree", lambda: kernels.linear(X, torch.ones(3, 2, dtype=torch.int8))),
        (InputError, "x of shape", lambda: kernels.linear(torch.ones(3, dtype=torch.int8), WEIGHT)),
        (InputError, "out must be", lambda: kernels.linear(X, WEIGHT, out=torch.empty(4, 6, dtype=torch.int32))),
        (TypeError, "out must be", lambda: kernels.linear(X, WEIGHT, out=torch.empty(4, 5))),
        (InputError, "out must be", lambda: kernels.linear(X, WEIGHT, out=torch.empty(5, 4, dtype=torch.int32).t())),
        (TypeError, "int32 rowptr and col", lambda: kernels.aggregate(ROWPTR.long(), COL, None, X)),
        (TypeError, "edge weights", lambda: kernels.aggregate(ROWPTR, COL, ALPHA.float(), X)),
        (InputError, r"weight \[edges\]", lambda: kernels.aggregate(ROWPTR, COL, ALPHA[:3], X)),
        (InputError, r"rowptr \[rows \+ 1\]", lambda: kernels.aggregate(ROWPTR[:0], COL, ALPHA, X)),
        (InputError, "int8: it takes no zero point", lambda: torch.ops.mixq_rl.linear(*LINEAR[:5], *LINEAR[5:9], 200)),
        (InputError, "3 apart", lambda: torch.ops.mixq_rl.linear(*LINEAR[:3], 3, 0, *LINEAR[5:])),
        (InputError, "has offset", lambda: kernels.linear(X, WEIGHT, x_zero_point=2**31)),
        (
            InputError,
            "of the edge weights is",
            lambda: kernels.aggregate(ROWPTR, COL, ALPHA, X, weight_zero_point=9999),
        ),
        (InputError, "3 bits of storage", lambda: torch.ops.mixq_rl.linear(X.data, 3, 9, 1, 0, *Matrix.of(WEIGHT))),
        (InputError, "does not hold 50", lambda: torch.ops.mixq_rl.linear(X.data, 4, 50, 1, 0, *Matrix.of(WEIGHT))),
    ],
)
def test_arguments_that_do_not_fit_are_refused(error: type[Exception], message: str, call: Any) -> None:
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"multiplier": torch.ones(3, dtype=torch.int64)}, InputError, "multiplier of a requantization has 3 entries"),
        ({"multiplier": torch.ones(9)}, TypeError, r"multiplier of a requantization is torch\.int64"),
        ({"row": torch.ones(4, dtype=torch.int32)}, InputError, "row of a requantization has 4 entries"),
        ({"row": torch.ones(3, dtype=torch.int64)}, TypeError, r"row of a requantization is torch\.int32"),
        ({"bias": torch.ones(1, dtype=torch.int64)}, InputError, "bias of a requantization has 1 entries"),
        ({"shift": 41}, InputError, "shift 41"),
        ({"zero_point": 2**40}, ValueError, "zero point"),
        ({"row_shift": -1}, InputError, "row shift -1"),
    ],
)
def test_requantizations_that_do_not_fit_are_refused(
    changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    how = Rescale(*rescale(9, ROW))._replace(**changes)
    with pytest.raises(error, match=message):
        torch.ops.mixq_rl.aggregate_requantize(*AGGREGATE, *how)


@pytest.mark.parametrize("multiplier", [-1, 2**31])
@pytest.mark.parametrize("backend", kernels.backends())
def test_multipliers_out_of_bounds_are_refused(backend: str, multiplier: int) -> None:
    how = Rescale(*rescale(9, ROW))._replace(multiplier=torch.tensor([multiplier]))
    with kernels.using(backend), pytest.raises(ValueError, match=r"multipliers of a requantization.*below 2\^31"):
        torch.ops.mixq_rl.aggregate_requantize(*AGGREGATE, *how)


def test_indices_out_of_bounds_are_refused_by_every_operator() -> None:
    wrong = COL + 1
    out = torch.empty(3, 9, dtype=torch.int32)
    operators = torch.ops.mixq_rl
    calls = (
        (operators.aggregate, ()),
        (operators.aggregate_out, (out,)),
        (operators.aggregate_requantize, rescale(9, ROW)),
    )
    for call, extra in calls:
        with pytest.raises(InvalidGraphError, match=r"col names node 4, but there are rows for nodes 0\.\.\.3"):
            call(ROWPTR, wrong, *AGGREGATE[2:], *extra)


def test_what_operators_write_to_has_a_new_version() -> None:
    out = torch.empty(3, 9, dtype=torch.int32)
    version = out._version
    kernels.aggregate(ROWPTR, COL, ALPHA, X, out=out)
    assert out._version > version
    with torch.inference_mode():
        kernels.aggregate(ROWPTR, COL, ALPHA, X, out=torch.empty(3, 9, dtype=torch.int32))


def test_unknown_backends_are_refused() -> None:
    message = r"backend 'cray' cannot run here; these can: .*reference"
    with pytest.raises(InputError, match=message), kernels.using("cray"):
        pass


OPERANDS = {"rowptr": ROWPTR, "col": COL, "weight": ALPHA, "x": X}
HOW = Requantization(torch.tensor(2**20), 30, 0, None, IntegerRange(4, True), 0)
FORMS: dict[str, tuple[Any, dict[str, Any]]] = {
    "aggregate": (kernels.aggregate, OPERANDS | {"out": torch.empty(3, 9, dtype=torch.int32)}),
    "aggregate_requantize": (kernels.aggregate_requantize, OPERANDS | {"requantization": HOW, "row": ROW}),
    "linear": (kernels.linear, {"x": X, "weight": WEIGHT, "out": torch.empty(4, 5, dtype=torch.int32)}),
    "linear_requantize": (kernels.linear_requantize, {"x": X, "weight": WEIGHT, "requantization": HOW, "row": None}),
}


@pytest.mark.parametrize(("form", "name"), [(form, name) for form, (_, given) in FORMS.items() for name in given])
def test_wrong_types_are_type_errors(form: str, name: str) -> None:
    call, given = FORMS[form]
    call(**given)
    optional = name in ("out", "row") or (name == "weight" and form.startswith("aggregate"))
    wrong = [[[1, 2]], torch.ones(2, 2).numpy(), 3, "x", object(), torch.ones(2, 2).to_sparse(), torch.ones(2, 2)]
    for value in wrong if optional else [*wrong, None]:
        with pytest.raises(TypeError, match=r"must be|holds int8|takes int"):
            call(**given | {name: value})


@pytest.mark.parametrize("value", [None, 0.5, "1", [1], torch.tensor(0.5), torch.tensor([1, 2])], ids=str)
def test_zero_points_are_integers(value: Any) -> None:
    with pytest.raises(TypeError, match=r"zero point of x must be an integer, not"):
        kernels.linear(X, WEIGHT, x_zero_point=value)
    with pytest.raises(TypeError, match=r"zero point of weight must be an integer, not"):
        kernels.aggregate(ROWPTR, COL, ALPHA, X, weight_zero_point=value)


@pytest.mark.parametrize("value", [np.int64(3), torch.tensor(3)], ids=str)
def test_any_kind_of_integer_is_a_zero_point(value: Any) -> None:
    got = kernels.linear(X, WEIGHT, x_zero_point=value)
    assert torch.equal(got, kernels.linear(X, WEIGHT, x_zero_point=3))


def test_operands_on_several_devices_are_refused_whether_or_not_they_hold_data() -> None:
    with pytest.raises(InputError, match="all tensors must be on one device, not on cpu and meta"):
        kernels.aggregate(ROWPTR, COL.to("meta"), None, X)
    with pytest.raises(InputError, match="all tensors must be on one device"):
        kernels.linear(X, WEIGHT, out=torch.empty(4, 5, dtype=torch.int32, device="meta"))


@pytest.mark.parametrize("backend", kernels.backends())
def test_results_that_overlap_operands_are_refused(backend: str) -> None:
    memory = torch.zeros(100, dtype=torch.int32)
    out, begin, end = memory[10:37].view(3, 9), 40, 148
    operands = {"rowptr": ROWPTR, "col": COL, "weight": ALPHA, "x": torch.ones(4, 9).byte()}
    with kernels.using(backend):
        expected = kernels.aggregate(**operands)
        for name, operand in operands.items():
            item = operand.element_size()
            size = operand.numel() * item
            for start in (begin - size, begin - size + item, end - item, end):
                within = memory.view(torch.uint8)[start : start + size].view(operand.dtype).view(operand.shape)
                within.copy_(operand)
                moved = operands | {name: within}
                if start in (begin - size, end):
                    assert torch.equal(kernels.aggregate(**moved, out=out), expected)
                    continue
                with pytest.raises(InputError, match=f"out overlaps {name}"):
                    kernels.aggregate(**moved, out=out)


@pytest.mark.parametrize("backend", kernels.backends())
def test_graphs_that_are_written_to_are_the_new_graphs(backend: str) -> None:
    rowptr, col = ROWPTR.clone(), COL.clone()
    x = torch.arange(4, dtype=torch.int8).unsqueeze(1)
    with kernels.using(backend):
        assert kernels.aggregate(rowptr, col, None, x).tolist() == [[1], [0], [7]]
        col[0] = 3
        assert kernels.aggregate(rowptr, col, None, x).tolist() == [[4], [0], [7]]
        col.numpy()[0] = 2
        assert kernels.aggregate(rowptr, col, None, x).tolist() == [[3], [0], [7]]
        rowptr.data[2] = 4
        assert kernels.aggregate(rowptr, col, None, x).tolist() == [[3], [4], [3]]
