"""Evaluator protocol and result type."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from mixq_rl.errors import ArtifactError, BitWidthError
from mixq_rl.metering import FLOAT_BITS
from mixq_rl.nn import Component

__all__ = [
    "GREATEST",
    "Evaluation",
    "Evaluator",
    "Failure",
    "Fallible",
    "Fingerprinted",
    "Forbidden",
    "Restricted",
    "Seeded",
    "Sized",
    "Streaming",
    "check_allocation",
    "check_evaluation",
]

GREATEST = 1e30
"""Numbers of an evaluation are below it, and costs above its reciprocal."""


@dataclass(frozen=True)
class Evaluation:
    """The result of executing one allocation.

    Attributes:
        allocation: the bit-width of each component (32 for the float32 reference).
        accuracy: value of the task's metric on the validation split, in [0, 1]: the accuracy by default.
        bitops: bit operations, convention ``linear``.
        reduction: ``bitops`` of the float32 model over those of the allocation.
        product_bitops: bit operations, convention ``product``.
        product_reduction: ``product_bitops`` of the float32 model over those of the allocation.
        bytes: bytes moved by all operations, as :class:`~mixq_rl.metering.OpRecord` counts them.
        seconds: wall-clock time of all operations, or the median of repeated executions. An operation that several
            allocations share is timed once. 0.0 if nothing was timed, as for single executions on a GPU.
        size: bytes of the network as it is shipped, :attr:`~mixq_rl.IntegerModel.room`; 4 bytes for each parameter of
            the float32 reference; 0: not known.
        estimate: estimate of the accuracy that has less luck in it than ``accuracy``, in [0, 1]
            (:class:`~mixq_rl.evaluation.accuracy_estimate.AccuracyEstimate`); None: there is none.
    """

    allocation: tuple[int, ...]
    accuracy: float
    bitops: float
    reduction: float
    product_bitops: float
    product_reduction: float
    bytes: int = 0
    seconds: float = 0.0
    size: int = 0
    estimate: float | None = None

    @property
    def merit(self) -> float:
        """The accuracy that rewards and searches compare: the estimate, or ``accuracy`` if there is none."""
        return self.accuracy if self.estimate is None else self.estimate

    @classmethod
    def against(
        cls,
        reference: "Evaluation",
        *,
        allocation: tuple[int, ...],
        accuracy: float,
        bitops: float,
        product_bitops: float,
        bytes: int,  # noqa: A002  the field's name
        seconds: float,
        size: int,
    ) -> "Evaluation":
        """Return an evaluation whose reductions are those against ``reference``."""
        return cls(
            allocation=allocation,
            accuracy=accuracy,
            bitops=bitops,
            reduction=reference.bitops / bitops,
            product_bitops=product_bitops,
            product_reduction=reference.product_bitops / product_bitops,
            bytes=bytes,
            seconds=seconds,
            size=size,
        )


@runtime_checkable
class Evaluator(Protocol):
    """Anything that returns an evaluation for an allocation: a network, a simulator, a lookup table.

    Environment and searches use these four members and nothing else. :class:`Streaming`, :class:`Fallible`,
    :class:`Fingerprinted`, :class:`Seeded`, :class:`Restricted` and :class:`Sized` are optional.

    Attributes:
        components: components in execution order; their statistics are plain numbers.
        bit_widths: bit-widths on offer, ascending.
        reference: evaluation of the float32 model.
    """

    @property
    def components(self) -> tuple[Component, ...]: ...

    @property
    def bit_widths(self) -> tuple[int, ...]: ...

    @property
    def reference(self) -> Evaluation: ...

    def evaluate(self, allocations: Sequence[Sequence[int]]) -> list[Evaluation]:
        """Return one evaluation for each allocation, in their order."""
        ...


@runtime_checkable
class Streaming(Protocol):
    """Evaluator that also yields evaluations one by one, so that each can be stored as soon as it is made."""

    def stream(self, allocations: Sequence[Sequence[int]]) -> Iterator[Evaluation]:
        """Yield one evaluation for each allocation, in their order."""
        ...


@dataclass(frozen=True)
class Failure:
    """An allocation that could not be evaluated.

    Attributes:
        allocation: the bit-width of each component.
        reason: one line for people.
    """

    allocation: tuple[int, ...]
    reason: str

    def __str__(self) -> str:
        return f"allocation {','.join(map(str, self.allocation))} cannot be evaluated: {self.reason}"


@runtime_checkable
class Fallible(Protocol):
    """Evaluator that goes on with other allocations if one cannot be evaluated."""

    def attempt(self, allocations: Sequence[Sequence[int]]) -> Iterator[Evaluation | Failure]:
        """Yield the evaluation or the failure of each allocation, in their order."""
        ...


@runtime_checkable
class Fingerprinted(Protocol):
    """Evaluator with an identity of its own: two evaluators of one fingerprint return the same evaluations."""

    @property
    def fingerprint(self) -> str: ...


@runtime_checkable
class Seeded(Protocol):
    """Evaluator whose evaluations depend on a seed, which the store keeps with them; None: they depend on none."""

    @property
    def seed(self) -> int | None: ...


@runtime_checkable
class Sized(Protocol):
    """Evaluator that knows the size of a network without its execution. More bits never make a network smaller."""

    def sizes(self, allocations: Sequence[Sequence[int]]) -> list[int]:
        """Return the bytes of the network at each allocation, the ``size`` of its evaluation."""
        ...


@dataclass(frozen=True)
class Forbidden:
    """Bit-widths that an evaluator cannot execute together. If it is forbidden, so is every combination with more bits.

    Attributes:
        components: indices of the components, ascending.
        bit_widths: one for each of them. An allocation is forbidden if each of these components has this bit-width or
            a greater one.
        reason: one line for people.
    """

    components: tuple[int, ...]
    bit_widths: tuple[int, ...]
    reason: str


@runtime_checkable
class Restricted(Protocol):
    """Evaluator that cannot execute every allocation."""

    @property
    def forbidden(self) -> tuple[Forbidden, ...]:
        """The combinations of bit-widths that it cannot execute; empty: it executes all."""
        ...


def check_allocation(evaluator: Evaluator, allocation: Sequence[int]) -> tuple[int, ...]:
    """Return ``allocation`` as a tuple, checked against an evaluator's components and bit-widths.

    Raises:
        BitWidthError: for a wrong number of bit-widths, or a bit-width that is not on offer.
    """
    if len(allocation) != len(evaluator.components):
        raise BitWidthError(f"an allocation of {len(allocation)} bit-widths for {len(evaluator.components)} components")
    for bits, component in zip(allocation, evaluator.components, strict=True):
        if bits not in evaluator.bit_widths:
            raise BitWidthError(f"bit-width {bits} of component {component.name!r} is not among {evaluator.bit_widths}")
    return tuple(int(bits) for bits in allocation)


def check_evaluation(evaluation: Evaluation, count: int) -> None:
    """Check an evaluation that was read from a file.

    Args:
        evaluation: the evaluation; its fields are of their types.
        count: number of components.

    Raises:
        ArtifactError: for a wrong number of bit-widths, or a value out of bounds.
    """
    if len(evaluation.allocation) != count or not all(1 <= bits <= FLOAT_BITS for bits in evaluation.allocation):
        raise ArtifactError(f"{list(evaluation.allocation)} is no allocation of {count} components")
    positive = (evaluation.bitops, evaluation.reduction, evaluation.product_bitops, evaluation.product_reduction)
    if not 0 <= evaluation.accuracy <= 1 or not all(1 / GREATEST < value < GREATEST for value in positive):
        raise ArtifactError(f"the accuracy, bit operations or reductions of {evaluation} are out of bounds")
    if not 0 <= evaluation.merit <= 1:
        raise ArtifactError(f"the estimate of {evaluation} is out of bounds")
    if not all(0 <= value < GREATEST for value in (evaluation.bytes, evaluation.seconds, evaluation.size)):
        raise ArtifactError(f"the bytes, seconds or size of {evaluation} are out of bounds")
