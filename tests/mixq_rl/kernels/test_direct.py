"""Direct calls: what they take, what they leave to the operators, and that both do the same."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import TorchDispatchMode

from mixq_rl import kernels
from mixq_rl.errors import InputError, InvalidGraphError
from mixq_rl.kernels import cpu, direct
from mixq_rl.kernels.arguments import CSRMatrix, Matrix, Rescale
from mixq_rl.quantization import FixedPoint, IntegerRange, PackedRows, Requantization
from tests.mixq_rl.kernels.problems import Draw, draws, integers, requantization

pytestmark = pytest.mark.skipif(not cpu.instruction_sets(), reason="the native kernels are not built")

ROWPTR = torch.tensor([0, 2, 3], dtype=torch.int32)
COL = torch.tensor([0, 2, 1], dtype=torch.int32)
ALPHA = torch.tensor([3, 200, 7], dtype=torch.uint8)
X = torch.arange(-6, 6, dtype=torch.int8).view(3, 4)
WEIGHT = torch.arange(-10, 10, dtype=torch.int8).view(4, 5)
HOW = Requantization.from_scales(torch.tensor(0.1, dtype=torch.float64), None, None, IntegerRange(4, True), 0)


class Own(Tensor):
    """A subclass, which may have its own idea of what operators do."""


class Passing(TorchDispatchMode):
    """A mode that sees operators."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen.append(str(function))
        return function(*args, **(kwargs or {}))


def resized(tensor: Tensor) -> Tensor:
    copy = tensor.clone()
    copy.untyped_storage().resize_(copy.untyped_storage().nbytes() - 1)
    return copy


@settings(deadline=None, max_examples=150)
@given(draw=draws)
def test_linear_equals_the_operator(draw: Draw) -> None:
    generator = torch.Generator().manual_seed(draw.seed)
    x = PackedRows.pack(integers((9, draw.width), draw.range, generator, draw.extreme), draw.range)
    weight = PackedRows.pack(
        integers((draw.width, draw.other), draw.weight_range, generator, draw.extreme), draw.weight_range
    )
    if not draw.weight_range.signed and draw.weight_range.bits > 4:
        return  # no weight of a product
    arguments = (*Matrix.of(x, draw.x_zero_point), *Matrix.of(weight, what="weight"))
    expected = torch.ops.mixq_rl.linear(*arguments)
    found = direct.linear(x, weight, draw.x_zero_point, None)
    assert found is not None
    assert torch.equal(found, expected)
    how, row = requantization(draw, expected.long(), generator)
    packed = direct.linear_requantize(x, weight, how, draw.x_zero_point, row)
    assert packed is not None
    assert (packed.columns, packed.range) == (draw.other, how.range)
    assert torch.equal(packed.data, torch.ops.mixq_rl.linear_requantize(*arguments, *Rescale.of(how, row)))


@settings(deadline=None, max_examples=150)
@given(draw=draws)
def test_aggregate_equals_the_operator(draw: Draw) -> None:
    generator = torch.Generator().manual_seed(draw.seed)
    x = PackedRows.pack(integers((6, draw.width), draw.range, generator, draw.extreme), draw.range)
    rowptr = torch.tensor([0, 0, 3, 11], dtype=torch.int32)
    col = torch.randint(6, (11,), generator=generator, dtype=torch.int32)
    alpha = torch.randint(0, 256, (11,), generator=generator, dtype=torch.uint8)
    edges = *CSRMatrix.of(rowptr, col, alpha, 3), *Matrix.of(x, draw.x_zero_point)
    expected = torch.ops.mixq_rl.aggregate(*edges)
    found = direct.aggregate(rowptr, col, alpha, x, 3, draw.x_zero_point, None)
    if not draw.width:
        assert found is None
        return
    assert found is not None
    assert torch.equal(found, expected)
    how, row = requantization(draw, expected.long(), generator)
    row = row if row is None else FixedPoint(row.mantissa[:3], row.exponent)
    packed = direct.aggregate_requantize(rowptr, col, alpha, x, how, 3, draw.x_zero_point, row)
    assert packed is not None
    assert torch.equal(packed.data, torch.ops.mixq_rl.aggregate_requantize(*edges, *Rescale.of(how, row)))


LEFT_TO_THE_OPERATOR: dict[str, Callable[[], object]] = {
    "not contiguous": lambda: direct.linear(X.T, torch.ones(3, 2, dtype=torch.int8), 0, None),
    "a subclass": lambda: direct.linear(X.as_subclass(Own), WEIGHT, 0, None),
    "a parameter": lambda: direct.linear(torch.nn.Parameter(X, requires_grad=False), WEIGHT, 0, None),
    "another device": lambda: direct.linear(X.to("meta"), WEIGHT, 0, None),
    "an array": lambda: direct.linear(X.numpy(), WEIGHT, 0, None),
    "another dtype": lambda: direct.linear(X.float(), WEIGHT, 0, None),
    "sparse": lambda: direct.linear(X.to_sparse(), WEIGHT, 0, None),
    "one dimension": lambda: direct.linear(X[0], WEIGHT, 0, None),
    "three dimensions": lambda: direct.linear(X[None], WEIGHT, 0, None),
    "an unsigned weight": lambda: direct.linear(X, WEIGHT.view(torch.uint8), 0, None),
    "shapes that do not fit": lambda: direct.linear(X, X, 0, None),
    "a resized storage": lambda: direct.linear(resized(X), WEIGHT, 0, None),
    "a zero point of numpy": lambda: direct.linear(X, WEIGHT, np.int64(3), None),
    "a zero point far off": lambda: direct.linear(X, WEIGHT, 5000, None),
    "a zero point beyond int64": lambda: direct.linear(X, WEIGHT, 2**70, None),
    "a result of another shape": lambda: direct.linear(X, WEIGHT, 0, torch.empty(3, 4, dtype=torch.int32)),
    "a result of another dtype": lambda: direct.linear(X, WEIGHT, 0, torch.empty(3, 5)),
    "no requantization": lambda: direct.linear_requantize(X, WEIGHT, None, 0, None),
    "no row scales": lambda: direct.linear_requantize(X, WEIGHT, HOW, 0, torch.ones(3)),
    "row scales of other rows": lambda: direct.linear_requantize(
        X, WEIGHT, HOW, 0, FixedPoint(torch.ones(2, 1, dtype=torch.int32), 0)
    ),
    "int64 indices": lambda: direct.aggregate(ROWPTR.long(), COL, None, X, 0, 0, None),
    "fewer weights": lambda: direct.aggregate(ROWPTR, COL, ALPHA[:2], X, 0, 0, None),
    "rowptr without rows": lambda: direct.aggregate(ROWPTR[:0], COL, None, X, 0, 0, None),
    "a resized graph": lambda: direct.aggregate(ROWPTR, resized(COL), None, X, 0, 0, None),
    "a list": lambda: direct.aggregate([0, 2, 3], COL, None, X, 0, 0, None),
}


@pytest.mark.parametrize("call", LEFT_TO_THE_OPERATOR.values(), ids=LEFT_TO_THE_OPERATOR)
def test_what_is_not_plain_is_left_to_the_operator(call: Callable[[], object]) -> None:
    assert call() is None


def test_a_result_over_an_operand_is_left_to_the_operator() -> None:
    memory = torch.zeros(64, dtype=torch.int32)
    out, x = memory[:15].view(3, 5), memory.view(torch.int8)[56:68].view(3, 4)
    assert direct.linear(x, WEIGHT, 0, out) is None
    assert direct.linear(memory.view(torch.int8)[60:72].view(3, 4), WEIGHT, 0, out) is not None
    with pytest.raises(InputError, match="out overlaps x"):
        kernels.linear(x, WEIGHT, out=out)
    out = memory[:8].view(2, 4)
    assert direct.aggregate(memory[5:8], COL, None, X, 0, 0, out) is None


def test_modes_and_transforms_see_the_operator() -> None:
    with Passing() as mode:
        kernels.linear(X, WEIGHT)
        kernels.aggregate(ROWPTR, COL, ALPHA, X)
    assert mode.seen == ["mixq_rl.linear.default", "mixq_rl.aggregate.default"]
    traced = make_fx(lambda x: kernels.linear(x, WEIGHT))(X)
    assert "mixq_rl.linear" in traced.code
    with torch.profiler.profile() as profile:
        kernels.linear(X, WEIGHT)
    assert any("mixq_rl::linear" in event.name for event in profile.events())


def test_a_traced_function_calls_the_operator() -> None:
    with pytest.warns(DeprecationWarning, match="trace"):
        traced = torch.jit.trace(lambda x: kernels.linear(x, WEIGHT), X)
    assert "mixq_rl::linear" in str(traced.graph)
    assert torch.equal(traced(X + 1), kernels.linear(X + 1, WEIGHT))


def test_writes_to_the_result_are_counted() -> None:
    out = torch.zeros(3, 5, dtype=torch.int32)
    before = out._version
    assert direct.linear(X, WEIGHT, 0, out) is out
    assert out._version > before
    with torch.inference_mode():
        assert direct.linear(X, WEIGHT, 0, torch.zeros(3, 5, dtype=torch.int32)) is not None


def test_an_index_out_of_bounds_is_named() -> None:
    with pytest.raises(InvalidGraphError, match=r"col names node 5, but there are rows for nodes 0\.\.\.2"):
        direct.aggregate(ROWPTR, COL + 3, None, X, 0, 0, None)
    with pytest.raises(InvalidGraphError, match="rowptr must ascend"):
        direct.aggregate_requantize(ROWPTR.flip(0), COL, None, X, HOW, 0, 0, None)


def test_the_chosen_backend_is_called() -> None:
    with kernels.using("reference"):
        assert direct.linear(X, WEIGHT, 0, None) is None
    expected = X.long() @ WEIGHT.long()
    for backend in cpu.instruction_sets():
        with kernels.using(backend):
            found = direct.linear(X, WEIGHT, 0, None)
        assert found is not None
        assert torch.equal(found.long(), expected)


def test_on_a_default_device_without_memory_the_operator_allocates() -> None:
    with torch.device("meta"):
        assert direct.linear(X, WEIGHT, 0, None) is None
        assert kernels.linear(X, WEIGHT).device.type == "cpu"
