"""Steps: what they accept of their inputs, and steps of a user's own operator."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

import mixq_rl
from mixq_rl.evaluation.frozen_steps import FrozenSteps
from mixq_rl.graph import Graph
from mixq_rl.integer.program import export_program
from mixq_rl.nn import INPUT, Linear, Node, QuantizableModel
from mixq_rl.nn.operator import Operator, Real, Symbol
from mixq_rl.nn.step import IntegerStep, Signature, check_columns, check_scale, count_entries
from mixq_rl.quantization import FakeQuantized, Granularity, IntegerRange, QTensor
from mixq_rl.storage.artifacts import storable
from tests.mixq_rl.nn.networks import FEATURES, calibrated, check_equal, features, make_graph, random_allocations

BYTES = IntegerRange(8, signed=True)
KEPT = 3


class FirstColumns(Operator):
    """The first columns of a value: an operator that the package lacks."""

    def real(self, inputs: Sequence[Real], graph: Graph | None) -> Real:
        (x,) = inputs
        return Real(x.dense[:, :KEPT], x.name)

    def fake_quantized(self, inputs: Sequence[FakeQuantized], graph: Graph | None) -> FakeQuantized:
        (x,) = inputs
        return replace(x, values=x.dense[:, :KEPT])

    def freeze(self, inputs: Sequence[Symbol]) -> Symbol:
        (x,) = inputs
        return x.program.append(IntegerFirstColumns(x.name, (x.index,)), x.quantizer, x.name)


@storable
@dataclass(frozen=True)
class IntegerFirstColumns(IntegerStep):
    result: str
    sources: tuple[int, ...]

    @property
    def bits(self) -> Mapping[str, int]:
        return {}

    @property
    def keeps_columns(self) -> bool:
        return False

    def infer(self, inputs: Sequence[Signature]) -> Signature:
        (x,) = inputs
        x.require(self.result, Granularity.TENSOR)
        return replace(x, columns=KEPT)

    def __call__(self, inputs: Sequence[QTensor], prepared: Any) -> QTensor:
        (x,) = inputs
        return QTensor.pack(x.values[:, :KEPT].contiguous(), x.range, x.scale, x.zero_point)


def own_network() -> tuple[QuantizableModel, Graph]:
    graph = make_graph()
    nodes = [
        Node("a", Linear(FEATURES, 5, names=("a.weight", "a.output")), (INPUT,)),
        Node("first", FirstColumns(), ("a",)),
        Node("b", Linear(KEPT, 2, names=("b.weight", "b.output")), ("first",)),
    ]
    return calibrated(QuantizableModel(nodes, input_name="a.input"), features(graph), graph), graph


def test_an_operator_of_ones_own_executes_on_integers() -> None:
    model, graph = own_network()
    check_equal(model, features(graph), graph, random_allocations(model, 20))


def test_a_step_of_ones_own_is_saved_loaded_shared_and_exported(tmp_path: Path) -> None:
    model, graph = own_network()
    frozen = mixq_rl.IntegerModel.freeze(model, (4,) * 5)
    x = features(graph)
    expected = frozen(x, graph.edge_index)
    frozen.save(tmp_path)
    loaded = mixq_rl.IntegerModel.load(tmp_path)
    assert isinstance(loaded.steps[1], IntegerFirstColumns)
    assert torch.equal(loaded(x, graph.edge_index), expected)
    assert mixq_rl.ModelSize.of(loaded, tmp_path).float32 == 4 * (5 * FEATURES + 5 + 2 * KEPT + 2)
    assert torch.equal(FrozenSteps(model).freeze((4,) * 5)(x, graph.edge_index), expected)
    assert torch.equal(export_program(frozen).module()(x, graph.edge_index), expected)


def test_a_step_that_changes_the_columns_does_not_tell_the_number_of_features() -> None:
    graph = make_graph()
    model = calibrated(
        QuantizableModel([Node("first", FirstColumns(), (INPUT,))], input_name="net.input"), features(graph), graph
    )
    assert mixq_rl.IntegerModel.freeze(model, (8,)).num_features is None


def test_what_a_step_has_to_define() -> None:
    step = IntegerStep()
    with pytest.raises(NotImplementedError):
        step.bits  # noqa: B018
    with pytest.raises(NotImplementedError):
        step.infer([])
    with pytest.raises(NotImplementedError):
        step([], None)
    assert (step.in_columns, step.keeps_columns, step.takes_edge_weight) == (None, True, False)
    assert (step.edge_copies, step.nbytes, step.num_parameters) == (1, 0, 0)
    assert step.prepare(make_graph(), []) is None


def test_entries_are_counted_over_tensors() -> None:
    assert count_entries(torch.ones(2, 3), None, torch.ones(())) == 7
    assert count_entries() == 0


@pytest.mark.parametrize("granularity", list(Granularity))
def test_scales_that_a_step_cannot_carry_are_refused(granularity: Granularity) -> None:
    Signature(BYTES, 0, 4).require("s", granularity, columns=4)
    Signature(BYTES, 0, None).require("s", granularity, columns=4)
    for signature, fits in (
        (Signature(BYTES, 0, 4, has_row=True), granularity is Granularity.ROW),
        (Signature(BYTES, 0, 4, by_column=True), granularity is Granularity.COLUMN),
    ):
        if fits:
            signature.require("s", granularity)
        else:
            with pytest.raises(ValueError, match=r"step 's' takes no values whose (rows|columns) have scales"):
                signature.require("s", granularity)


def test_other_columns_are_refused() -> None:
    with pytest.raises(ValueError, match="step 's' takes 5 columns, but what comes before has 4"):
        Signature(BYTES, 0, 4).require("s", Granularity.TENSOR, columns=5)


def test_columns_are_known_from_what_has_an_entry_for_each() -> None:
    one, four, five = torch.tensor(1), torch.ones(4, dtype=torch.int64), torch.ones(5, dtype=torch.int64)
    assert check_columns("s", None, one, None) is None
    assert check_columns("s", None, one, four) == 4
    assert check_columns("s", 4, one, four, None) == 4
    assert check_columns("s", 4, one) == 4
    for columns, entries in ((5, (four,)), (None, (four, five)), (4, (torch.ones(1, 4),))):
        with pytest.raises(ValueError, match="multipliers or bias of step 's' do not fit"):
            check_columns("s", columns, *entries)


@pytest.mark.parametrize(
    "scale",
    [
        torch.tensor(1.0),
        torch.ones(1).double(),
        *(torch.tensor(x).double() for x in (0.0, -1.0, float("nan"), float("inf"))),
    ],
)
def test_scales_that_are_not_one_positive_number_are_refused(scale: torch.Tensor) -> None:
    check_scale("s", torch.tensor(0.5, dtype=torch.float64))
    with pytest.raises(ValueError, match="scale of step 's' is not one positive number"):
        check_scale("s", scale)
