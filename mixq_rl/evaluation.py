"""What an allocation is worth: executed on integers, judged on validation data, remembered."""

import copy
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

from mixq_rl.datasets import GraphTask, Split
from mixq_rl.errors import BitWidthError, InputError
from mixq_rl.integer_model import IntegerModel
from mixq_rl.metering import OpMeter
from mixq_rl.nn import Component, QuantizableModel
from mixq_rl.quantization import QTensor, check_bit_widths
from mixq_rl.training import Progress, class_probabilities, fine_tune, fit_supernet

__all__ = ["CachedEvaluator", "Evaluation", "Evaluator", "SupernetEvaluator", "check_allocation", "measure_reference"]

_FLOAT_BITS = 32

T = TypeVar("T")


@dataclass(frozen=True)
class Evaluation:
    """One allocation, executed.

    Attributes:
        allocation: the bit-width of each component (32 for the float32 reference).
        accuracy: on the validation split, in [0, 1].
        bitops: bit operations, convention ``linear``.
        reduction: the float32 model's ``bitops`` over these.
        product_bitops: bit operations, convention ``product``.
        product_reduction: the float32 model's ``product_bitops`` over these.
        bytes: moved by all operations, as :class:`~mixq_rl.metering.OpRecord` counts them.
        seconds: of all operations, wall clock; of repeated executions the median.
    """

    allocation: tuple[int, ...]
    accuracy: float
    bitops: float
    reduction: float
    product_bitops: float
    product_reduction: float
    bytes: int = 0
    seconds: float = 0.0


@runtime_checkable
class Evaluator(Protocol):
    """Anything that can say what an allocation is worth: a network, a simulator, a lookup table.

    Environment and searches use these four members and nothing else.

    Attributes:
        components: in execution order; their statistics are plain numbers.
        bit_widths: on offer, ascending.
        reference: the float32 model.
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


def check_allocation(evaluator: Evaluator, allocation: Sequence[int]) -> tuple[int, ...]:
    """Return ``allocation`` as a tuple, checked against an evaluator's components and bit-widths.

    Raises:
        BitWidthError: naming the component and what is on offer.
    """
    if len(allocation) != len(evaluator.components):
        raise BitWidthError(f"an allocation of {len(allocation)} bit-widths for {len(evaluator.components)} components")
    for bits, component in zip(allocation, evaluator.components, strict=True):
        if bits not in evaluator.bit_widths:
            raise BitWidthError(f"bit-width {bits} of component {component.name!r} is not among {evaluator.bit_widths}")
    return tuple(int(bits) for bits in allocation)


def measure_reference(model: QuantizableModel, task: GraphTask, *, timing_repeats: int = 1) -> Evaluation:
    """Return the evaluation of ``model`` executed in float32.

    Args:
        model: float-trained.
        task: its validation split gives the accuracy.
        timing_repeats: as of :class:`SupernetEvaluator`.

    Raises:
        InputError: for less than one timing repeat.
    """
    graph = model.prepare_graph(task.edge_index, task.num_nodes)
    with model.evaluating(), model.allocated(None):
        logits, meter, seconds = _metered(lambda: model(task.x, graph), timing_repeats)
    return Evaluation(
        allocation=(_FLOAT_BITS,) * len(model.quantizers),
        accuracy=task.accuracy(logits, "validation"),
        bitops=meter.bitops("linear"),
        reduction=1.0,
        product_bitops=meter.bitops("product"),
        product_reduction=1.0,
        bytes=meter.bytes,
        seconds=seconds,
    )


def _metered(execute: Callable[[], T], timing_repeats: int) -> tuple[T, OpMeter, float]:
    """Return what one execution gave, its meter, and the seconds: its own, or the median of the warm ones after it."""
    if timing_repeats < 1:
        raise InputError(f"{timing_repeats} timing repeats: at least 1 is needed")
    with OpMeter() as first:
        result = execute()
    if timing_repeats == 1:
        return result, first, first.seconds
    return result, first, statistics.median(_seconds(execute) for _ in range(timing_repeats))


def _seconds(execute: Callable[[], object]) -> float:
    with OpMeter() as meter:
        execute()
    return meter.seconds


class SupernetEvaluator:
    """Evaluates allocations with one set of weights that works at all of them; each is executed on integers.

    Args:
        model: float-trained; left as it is.
        task: its training split trains the supernet, its validation split gives the accuracies.
        bit_widths: on offer, each within 1...8.
        seed: of the supernet's training.
        epochs: of the supernet's training; None: the default of :func:`~mixq_rl.training.fit_supernet`.
        timing_repeats: 1: an evaluation's seconds are those of its single execution. More: that execution gives
            accuracy and bit operations and is the warm-up, and the seconds are the median of so many after it.
            The reference is timed alike.
        progress: told after each epoch.

    Attributes:
        model: the supernet.
        task: as given.
        teacher: the float model's class probabilities, ``[nodes, classes]``, from which all others are distilled.
        bit_widths: ascending.
        timing_repeats: as given.
        components: of the float-trained model.
        reference: evaluation of the float-trained model.

    Raises:
        BitWidthError: for a bit-width outside 1...8.
        InputError: for less than one timing repeat.
    """

    def __init__(
        self,
        model: QuantizableModel,
        task: GraphTask,
        *,
        bit_widths: Sequence[int] = (2, 4, 8),
        seed: int = 0,
        epochs: int | None = None,
        timing_repeats: int = 1,
        progress: Progress | None = None,
    ) -> None:
        self.task = task
        self.bit_widths = check_bit_widths(tuple(bit_widths))
        self.timing_repeats = timing_repeats
        self.reference = measure_reference(model, task, timing_repeats=timing_repeats)
        self.model = copy.deepcopy(model)
        self.components = self.model.observe(task.x, task.edge_index)
        self.teacher = class_probabilities(self.model, task)
        fit_supernet(
            self.model, task, self.bit_widths, teacher=self.teacher, seed=seed, epochs=epochs, progress=progress
        )
        self._graph = self.model.prepare_graph(task.edge_index, task.num_nodes)
        self._features: dict[int, QTensor] = {}

    def freeze(self, allocation: Sequence[int]) -> IntegerModel:
        """Return the integer model of one allocation, with the supernet's weights.

        Raises:
            BitWidthError: for bit-widths that are not on offer.
            SumOverflowError: if an int32 sum might overflow.
        """
        return IntegerModel.freeze(self.model, check_allocation(self, allocation))

    def fine_tune(
        self,
        allocation: Sequence[int],
        *,
        seed: int = 0,
        epochs: int | None = None,
        progress: Progress | None = None,
    ) -> IntegerModel:
        """Return the integer model of one allocation, with weights fine-tuned for it from the supernet's.

        Args:
            allocation: the bit-width of each component.
            seed: of the fine-tuning.
            epochs: None: the default of :func:`~mixq_rl.training.fine_tune`.
            progress: told after each epoch.

        Raises:
            BitWidthError: for bit-widths that are not on offer.
            SumOverflowError: if an int32 sum might overflow.
        """
        checked = check_allocation(self, allocation)
        tuned = fine_tune(
            self.model, self.task, checked, teacher=self.teacher, seed=seed, epochs=epochs, progress=progress
        )
        return IntegerModel.freeze(tuned, checked)

    def evaluate(self, allocations: Sequence[Sequence[int]]) -> list[Evaluation]:
        """Freeze each allocation, execute it on integers, and judge it on the validation split.

        Raises:
            BitWidthError: for bit-widths that are not on offer.
            SumOverflowError: if an int32 sum might overflow.
        """
        return [self._evaluate(self.freeze(allocation)) for allocation in allocations]

    def _evaluate(self, model: IntegerModel) -> Evaluation:
        bits = model.input.range.bits
        if bits not in self._features:
            self._features[bits] = model.quantize_features(self.task.x)
        return self._measure(model, self._features[bits], "validation")

    def measure(self, model: IntegerModel, split: Split) -> Evaluation:
        """Return the evaluation of any integer model of this network on a split: for the final table."""
        return self._measure(model, model.quantize_features(self.task.x), split)

    def _measure(self, model: IntegerModel, features: QTensor, split: Split) -> Evaluation:
        adjacencies = model.quantize_graph(self._graph)
        output, meter, seconds = _metered(lambda: model.execute(features, adjacencies), self.timing_repeats)
        bitops, product_bitops = meter.bitops("linear"), meter.bitops("product")
        return Evaluation(
            allocation=model.allocation,
            accuracy=self.task.accuracy(output.dequantize(), split),
            bitops=bitops,
            reduction=self.reference.bitops / bitops,
            product_bitops=product_bitops,
            product_reduction=self.reference.product_bitops / product_bitops,
            bytes=meter.bytes,
            seconds=seconds,
        )


class CachedEvaluator:
    """Remembers evaluations by allocation, so that none is made twice.

    Args:
        evaluator: what evaluates.

    Attributes:
        evaluator: as given.
        hits: how many evaluations were answered from memory.
    """

    def __init__(self, evaluator: Evaluator) -> None:
        self.evaluator = evaluator
        self.hits = 0
        self._store: dict[tuple[int, ...], Evaluation] = {}

    @property
    def components(self) -> tuple[Component, ...]:
        return self.evaluator.components

    @property
    def bit_widths(self) -> tuple[int, ...]:
        return tuple(self.evaluator.bit_widths)

    @property
    def reference(self) -> Evaluation:
        return self.evaluator.reference

    @property
    def store(self) -> Mapping[tuple[int, ...], Evaluation]:
        """All evaluations made, by allocation, in the order of their first request."""
        return self._store

    def evaluate(self, allocations: Sequence[Sequence[int]]) -> list[Evaluation]:
        """Return one evaluation for each allocation; those not yet known are made in one call.

        Raises:
            BitWidthError: for bit-widths that are not on offer.
        """
        wanted = [check_allocation(self, allocation) for allocation in allocations]
        new = [allocation for allocation in dict.fromkeys(wanted) if allocation not in self._store]
        if new:
            self._store.update(zip(new, self.evaluator.evaluate(new), strict=True))
        self.hits += len(wanted) - len(new)
        return [self._store[allocation] for allocation in wanted]
