"""Operator base class: one computation in float, fake-quantized and integer arithmetic."""

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
    """Value of the float network.

    Attributes:
        values: ``[rows, columns]``.
        name: name of the component that the value belongs to.
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
    """Integer network under construction.

    Attributes:
        steps: the steps, in execution order.
        results: the symbol of each step's result.
        origins: the operator that made each step, and the symbols that the operator took.
    """

    steps: list[IntegerStep] = field(default_factory=list)
    results: list["Symbol"] = field(default_factory=list)
    origins: list[tuple["Operator", tuple["Symbol", ...]]] = field(default_factory=list)

    def append(self, step: IntegerStep, quantizer: Quantizer, name: str) -> "Symbol":
        """Add a step, and return the symbol of its result."""
        self.steps.append(step)
        self.results.append(Symbol(self, len(self.steps), quantizer, name))
        return self.results[-1]

    def call(self, operator: "Operator", inputs: tuple["Symbol", ...]) -> "Symbol":
        """Let an operator add its step, and return the symbol of the result.

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
    """Value of an integer network under construction.

    Attributes:
        program: the network.
        index: 0 for the input, k for the result of step k.
        quantizer: quantizer of the value, which gives its integers their meaning.
        name: name of the component that the value belongs to.
    """

    program: Program
    index: int
    quantizer: Quantizer
    name: str

    def dropout(self, p: float, training: bool) -> "Symbol":
        """Return the value unchanged: a frozen network does not train."""
        return self


Value = Real | FakeQuantized | Symbol


class Operator(nn.Module):
    """Base class of operators: one computation in float, fake-quantized and integer arithmetic.

    The type of the operands chooses the arithmetic; all operands of a call have the same type. Subclasses implement the
    three arithmetics side by side.

    Attributes:
        takes: granularity of scales that operands may have, besides one scale for all entries.
        gives: granularity of scales that the result may have, besides one scale for all entries.
    """

    takes = Granularity.TENSOR
    gives = Granularity.TENSOR

    def forward(self, *inputs: Value, graph: Graph | None = None) -> Any:
        """Compute in float (:class:`Real`) or with fake quantization, or add the integer step to a program."""
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
        """Return the result of the integer computation, carried out in floating point with gradients."""
        raise NotImplementedError

    def freeze(self, inputs: Sequence[Any]) -> Symbol:
        """Add the integer computation to the inputs' program as one step, and return the symbol of its result.

        Between allocations, the step may depend only on the bit-widths in force of its own components, and on the names
        and quantizers of the inputs; with batch normalisation, on its running statistics too. Networks that agree in
        these share the step.
        """
        raise NotImplementedError


class Dropout(Operator):
    """Dropout: zeroes entries at random in training. Integer networks do not contain it.

    Args:
        p: probability that an entry becomes zero.
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
    """Sequence of operators and layers.

    Args:
        parts: the operators and layers; each takes the result of the one before.

    Attributes:
        takes: granularity of scales that the first part accepts.
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
