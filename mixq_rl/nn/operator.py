"""What every operator of a network is: one computation in three arithmetics."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor, nn

from mixq_rl.errors import InputError
from mixq_rl.graph import Graph
from mixq_rl.nn.step import IntegerStep
from mixq_rl.quantization import FakeQuantized, Granularity, Quantizer
from mixq_rl.sparse import SparseMatrix, dropout

__all__ = ["Chain", "Dropout", "Operator", "Program", "Real", "Symbol", "Value"]


@dataclass(frozen=True)
class Real:
    """A value of the float network.

    Attributes:
        values: ``[rows, columns]``.
        name: of the component that it belongs to.
    """

    values: Tensor | SparseMatrix
    name: str

    @property
    def dense(self) -> Tensor:
        """The value as a tensor."""
        return self.values.to_dense() if isinstance(self.values, SparseMatrix) else self.values

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.values.shape)

    def dropout(self, p: float, training: bool) -> "Real":
        """Zero entries at random."""
        return replace(self, values=dropout(self.values, p, training))


@dataclass
class Program:
    """An integer network in the making.

    Attributes:
        steps: in execution order.
        results: what stands for the result of each step.
        origins: the operator that made each step, and the values that it took.
    """

    steps: list[IntegerStep] = field(default_factory=list)
    results: list["Symbol"] = field(default_factory=list)
    origins: list[tuple["Operator", tuple["Symbol", ...]]] = field(default_factory=list)

    def append(self, step: IntegerStep, quantizer: Quantizer, name: str) -> "Symbol":
        """Add a step, and return what stands for its result."""
        self.steps.append(step)
        self.results.append(Symbol(self, len(self.steps), quantizer, name))
        return self.results[-1]

    def call(self, operator: "Operator", inputs: tuple["Symbol", ...]) -> "Symbol":
        """Let an operator add its step.

        Raises:
            ValueError: for an operator that adds no step, or several.
        """
        result = operator.freeze(inputs)
        self.origins.append((operator, inputs))
        if len(self.origins) != len(self.steps):
            raise ValueError(f"{type(operator).__name__}.freeze() must add one step to the program")
        return result


@dataclass(frozen=True)
class Symbol:
    """A value of an integer network in the making.

    Attributes:
        program: that it is part of.
        index: 0: the input; k: the result of step k.
        quantizer: how its integers are read.
        name: of the component that it belongs to.
    """

    program: Program
    index: int
    quantizer: Quantizer
    name: str

    def dropout(self, p: float, training: bool) -> "Symbol":
        """Nothing: a frozen network does not train."""
        return self


Value = Real | FakeQuantized | Symbol


class Operator(nn.Module):
    """A computation in float, fake-quantized and integer arithmetic, chosen by what it is called with.

    Subclasses implement the three side by side. All operands of a call are of one kind.

    Attributes:
        takes: the granularity of scale that it can take of its operands, beside one for all.
        gives: the granularity of scale that its result can have, beside one for all.
    """

    takes = Granularity.TENSOR
    gives = Granularity.TENSOR

    def forward(self, *inputs: Value, graph: Graph | None = None) -> Any:
        """Compute in float (:class:`Real`), in fake quantization, or add the integer step to a program."""
        first = inputs[0]
        if isinstance(first, Real):
            return self.real(inputs, graph)
        if isinstance(first, FakeQuantized):
            return self.fake_quantized(inputs, graph)
        return first.program.call(self, inputs)  # type: ignore[arg-type]

    def real(self, inputs: Sequence[Any], graph: Graph | None) -> Real:
        """Return the float result; each component's values pass through its quantizer, which is called with them."""
        raise NotImplementedError

    def fake_quantized(self, inputs: Sequence[Any], graph: Graph | None) -> FakeQuantized:
        """The integer computation in floating point, with gradients."""
        raise NotImplementedError

    def freeze(self, inputs: Sequence[Any]) -> Symbol:
        """Add the integer computation to the inputs' program, as one step.

        The step depends on the bit-widths in force of its own components, on the inputs' names and quantizers, and on
        nothing else that differs between allocations: networks that agree in those share it.
        """
        raise NotImplementedError


class Dropout(Operator):
    """Zeroes entries at random in training; integer networks know nothing of it.

    Args:
        p: probability.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise InputError(f"dropout of {p} is outside 0 <= p < 1")
        self.p = p

    def forward(self, *inputs: Value, graph: Graph | None = None) -> Any:
        return inputs[0].dropout(self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class Chain(nn.Module):
    """Operators and layers one after another.

    Args:
        parts: what each takes is what the one before gives.

    Attributes:
        takes: the granularity of scale that the first of them can take.
    """

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.takes = getattr(parts[0], "takes", Granularity.TENSOR) if parts else Granularity.TENSOR

    def forward(self, x: Value, graph: Graph | None = None) -> Any:
        """Compute in the arithmetic of ``x``."""
        for part in self.parts:
            x = part(x, graph=graph)
        return x
