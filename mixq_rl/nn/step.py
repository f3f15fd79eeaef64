"""Steps of an integer network: their base class, and what is known of their values before execution."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mixq_rl import kernels
from mixq_rl.adjacency import AnyGraph
from mixq_rl.quantization import Granularity, IntegerRange, QTensor, Quantizer

__all__ = [
    "IntegerStep",
    "Signature",
    "check_columns",
    "check_scale",
    "count_entries",
    "distinct_weights",
    "input_signature",
]

_LARGEST_EXPONENT = 512


@dataclass(frozen=True)
class Signature:
    """What is known of an integer value before execution.

    Attributes:
        range: range of the integers.
        zero_point: the integer that stands for 0.
        columns: number of columns; None: as many as the input has, any number.
        has_row: whether each row has a scale of its own.
        by_column: whether each column has a scale of its own.
        pooled: whether the rows are graphs rather than nodes.
    """

    range: IntegerRange
    zero_point: int
    columns: int | None
    has_row: bool = False
    by_column: bool = False
    pooled: bool = False

    def require(self, step: str, granularity: Granularity, *, columns: int | None = None) -> None:
        """Check that a step accepts the value.

        Args:
            step: name of the step's result, for the message.
            granularity: granularity of scales that the step accepts, besides one scale for all entries.
            columns: number of columns that the step accepts; None: any number.

        Raises:
            ValueError: naming the step.
        """
        if self.has_row and granularity is not Granularity.ROW:
            raise ValueError(f"step {step!r} takes no values whose rows have scales of their own")
        if self.by_column and granularity is not Granularity.COLUMN:
            raise ValueError(f"step {step!r} takes no values whose columns have scales of their own")
        if columns is not None and self.columns not in (None, columns):
            raise ValueError(f"step {step!r} takes {columns} columns, but what comes before has {self.columns}")


def input_signature(source: Quantizer) -> Signature:
    """Return the signature of a network's quantized input.

    Raises:
        ValueError: for scales that no step accepts.
    """
    by_column = source.scale.dim() > 0
    if source.scale.dim() > 1 or abs(source.row_exponent or 0) > _LARGEST_EXPONENT:
        raise ValueError("the input's scale is neither one nor one a column, or its rows' scales are out of bounds")
    columns = source.scale.numel() if by_column else None
    return Signature(source.range, source.zero_point, columns, source.row_exponent is not None, by_column)


class IntegerStep:
    """Base class of the steps of an integer network: one operation on integers, frozen at one allocation.

    A subclass is a frozen dataclass of tensors and plain values. The decorator
    :func:`~mixq_rl.storage.artifacts.storable` registers it by its name, so that networks with such steps can be saved
    and loaded. A process must import the subclass before it loads such a network.

    Subclasses implement :attr:`result`, :attr:`sources`, :attr:`bits`, :meth:`infer` and :meth:`__call__`. The other
    members have defaults, for a step without weights that gives as many columns as it takes.

    Attributes:
        result: name of the component that the result belongs to.
        sources: the values that the step takes: 0 is the network's input, k the result of step k.
        scale: scale of the result, float64 scalar; only of steps that implement :meth:`call`.
    """

    if TYPE_CHECKING:
        # At run time a dataclass would take these properties for the default values of its fields.
        @property
        def result(self) -> str: ...

        @property
        def sources(self) -> tuple[int, ...]: ...

        @property
        def scale(self) -> Tensor: ...

    @property
    def bits(self) -> Mapping[str, int]:
        """Bit-widths of the components that the step holds, by name."""
        raise NotImplementedError

    @property
    def in_columns(self) -> int | None:
        """Number of columns that the step's sources must have, or None if its tensors do not fix it."""
        return None

    @property
    def keeps_columns(self) -> bool:
        """Whether the result has as many columns as each source, where :attr:`in_columns` is None."""
        return True

    @property
    def takes_edge_weight(self) -> bool:
        """Whether the step uses the weights of edges."""
        return False

    @property
    def reads_neighbours(self) -> bool:
        """Whether a row of the result depends on other rows of the sources than this one."""
        return False

    @property
    def edge_copies(self) -> int:
        """Number of indices that the step makes of each edge: with attention, one for each head."""
        return 1

    @property
    def nbytes(self) -> int:
        """Bytes of the step's weights."""
        return 0

    @property
    def weight_name(self) -> str | None:
        """Name of the weights' component, which steps of one layer that is called several times share; or None."""
        return None

    @property
    def num_parameters(self) -> int:
        """Number of weights and biases of the float32 operation, batch normalisation folded into them."""
        return 0

    def infer(self, inputs: Sequence[Signature]) -> Signature:
        """Return the signature of the result for inputs of given signatures.

        Raises:
            ValueError: if the step cannot take the inputs, or contradicts itself.
            SumOverflowError: if an int32 sum over inputs might overflow.
        """
        raise NotImplementedError

    def check(self, graph: AnyGraph, inputs: Sequence[Signature]) -> None:
        """Check the sums over a graph's neighbours by the ranges of the integers, cheaply.

        The answer depends on bit-widths, and not on scales that further training may change. :meth:`prepare` may
        accept more: it knows the integers.

        Raises:
            SumOverflowError: if a sum over neighbours might overflow.
        """

    def prepare(self, graph: AnyGraph, inputs: Sequence[Signature]) -> Any:
        """Return what the step needs of a graph, quantized; None if it needs nothing.

        Code that synchronizes with a GPU belongs here, not in the call.

        Args:
            graph: the graph, or some of its rows, of which the call then returns the result.
            inputs: signatures of the sources.

        Raises:
            SumOverflowError: if a sum over neighbours might overflow.
        """
        return None

    def call(self, inputs: Sequence[Signature], prepared: Any) -> kernels.Call | None:
        """Return the step as a call of one kernel, for native execution of a network on a CPU; None if it is not one.

        Args:
            inputs: signatures of the sources.
            prepared: the result of :meth:`prepare`.
        """
        return None

    def __call__(self, inputs: Sequence[QTensor], prepared: Any) -> QTensor:
        """Execute on integers.

        Args:
            inputs: values of the sources.
            prepared: the result of :meth:`prepare`.
        """
        raise NotImplementedError


def check_columns(step: str, columns: int | None, *parameters: Tensor | None) -> int | None:
    """Check that multipliers and biases are single numbers or one for each column, and return the number of columns.

    Args:
        step: name of the step's result, for the message.
        columns: number of columns; None: not known, any number.
        parameters: ``[]`` or ``[columns]``, or None.

    Returns:
        the number of columns, or None if neither ``columns`` nor a parameter fixes it.

    Raises:
        ValueError: naming the step.
    """
    shapes = {tuple(each.shape) for each in parameters if each is not None} - {()}
    if len(shapes | ({(columns,)} if columns is not None else set())) > 1 or any(len(shape) > 1 for shape in shapes):
        raise ValueError(f"multipliers or bias of step {step!r} do not fit its {columns} columns")
    return shapes.pop()[0] if shapes else columns


def check_scale(step: str, scale: Tensor) -> None:
    """Check that a scale is one positive number in float64.

    Raises:
        ValueError: naming the step.
    """
    if scale.dim() or scale.dtype != torch.float64 or not (scale.isfinite() and scale > 0):
        raise ValueError(f"the scale of step {step!r} is not one positive number in float64")


def count_entries(*tensors: Tensor | None) -> int:
    """Return the number of entries of some tensors together; None has no entries."""
    return sum(tensor.numel() for tensor in tensors if tensor is not None)


def distinct_weights(steps: Iterable[IntegerStep]) -> list[IntegerStep]:
    """Return the steps without those that share the weights of an earlier step."""
    return list({step.weight_name or str(place): step for place, step in enumerate(steps)}.values())
