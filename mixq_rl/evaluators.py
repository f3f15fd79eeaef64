"""Evaluators that execute a network on integers: they differ in where an allocation's weights come from."""

import copy
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TypeVar

from torch import Tensor

from mixq_rl.datasets import GraphTask, Split
from mixq_rl.devices import deterministic
from mixq_rl.errors import InputError
from mixq_rl.evaluation import Evaluation, check_allocation
from mixq_rl.integer_model import IntegerModel
from mixq_rl.metering import OpMeter
from mixq_rl.nn import QuantizableModel
from mixq_rl.preparation_cache import content_hash, load_state, task_tensors
from mixq_rl.quantization import QTensor, Scheme, check_bit_widths, schemes
from mixq_rl.registry import Registry
from mixq_rl.training import Progress, calibrate, class_probabilities, fine_tune, fit_supernet
from mixq_rl.version import __version__

__all__ = [
    "FineTuneEvaluator",
    "IntegerEvaluator",
    "PostTrainingEvaluator",
    "SupernetEvaluator",
    "evaluators",
    "measure_reference",
]

_FLOAT_BITS = 32
_SHORT_EPOCHS = 20

T = TypeVar("T")


def measure_reference(
    model: QuantizableModel, task: GraphTask, *, split: Split = "validation", timing_repeats: int = 1
) -> Evaluation:
    """Return the evaluation of ``model`` executed in float32.

    Args:
        model: float-trained.
        task: what it is for.
        split: gives the accuracy.
        timing_repeats: as of :class:`IntegerEvaluator`.

    Raises:
        InputError: for less than one timing repeat.
    """
    inputs = task.inputs(split)
    with model.evaluating(), model.allocated(None):
        logits, meter, seconds = _metered(lambda: model(inputs.x, inputs.graph), timing_repeats)
        if logits.is_cuda:  # what is timed there is faster, and rounds differently from run to run
            with deterministic(logits.device):
                logits = model(inputs.x, inputs.graph)
    return Evaluation(
        allocation=(_FLOAT_BITS,) * len(model.quantizers),
        accuracy=task.accuracy(logits, split),
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


class IntegerEvaluator:
    """What the evaluators share: an allocation is frozen, executed on integers, and judged on the validation split.

    Subclasses prepare :attr:`model` (:meth:`_prepare`), and may choose another way to :meth:`freeze`.

    Args:
        model: float-trained; left as it is.
        task: its training split trains what is trained, its validation split gives the accuracies.
        bit_widths: on offer, each within 1...8.
        scheme: how scales are found, and whether they are learned.
        seed: of what is trained.
        epochs: of what is trained; None: the default.
        timing_repeats: 1: an evaluation's seconds are those of its single execution. More: that execution gives
            accuracy and bit operations and is the warm-up, and the seconds are the median of so many after it.
            The reference is timed alike.
        progress: told after each epoch of the preparation.
        prepared: ``state_dict`` of the :attr:`model` of an evaluator prepared before, for the same arguments: nothing
            is trained, and the evaluator is that one again. None: what is needed is trained.

    Attributes:
        preparation: what :meth:`_prepare` does, for who waits for it.
        model: a copy, calibrated at every bit-width on offer, from which fine-tuning starts.
        task: as given.
        teacher: the float model's class probabilities, from which all others are distilled.
        bit_widths: ascending.
        scheme: as given.
        timing_repeats: as given.
        components: of the float-trained model.
        reference: evaluation of the float-trained model.

    Raises:
        BitWidthError: for a bit-width outside 1...8.
        InputError: for less than one timing repeat.
        ArtifactError: for a prepared state that is not one of this network at these bit-widths.
    """

    preparation = "calibrating"

    def __init__(
        self,
        model: QuantizableModel,
        task: GraphTask,
        *,
        bit_widths: Sequence[int] = (2, 4, 8),
        scheme: Scheme = schemes["lsq"],
        seed: int = 0,
        epochs: int | None = None,
        timing_repeats: int = 1,
        progress: Progress | None = None,
        prepared: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.task = task
        self.bit_widths = check_bit_widths(tuple(bit_widths))
        self.scheme = scheme
        self.timing_repeats = timing_repeats
        self.seed = seed
        self.epochs = epochs
        self.reference = measure_reference(model, task, timing_repeats=timing_repeats)
        self._float_model = model
        self._references: dict[Split, Evaluation] = {"validation": self.reference}
        self.model = copy.deepcopy(model)
        inputs = task.calibration_inputs
        self.components = self.model.observe(inputs.x, inputs.graph)
        self.teacher = class_probabilities(self.model, task)
        self._features: dict[int, QTensor] = {}
        if prepared is None:
            self._prepare(progress)
        else:
            self._restore(prepared)

    def _prepare(self, progress: Progress | None) -> None:
        """Bring the copy of the float-trained model to where allocations are evaluated from."""
        calibrate(self.model, self.task, self.bit_widths, self.scheme)

    def _restore(self, prepared: Mapping[str, Tensor]) -> None:
        """Bring the copy of the float-trained model to where :meth:`_prepare` once brought it."""
        # Which integers are signed, the rows' exponents and which scales are exact are no state: calibration finds them
        # in the float weights, as it did then.
        calibrate(self.model, self.task, self.bit_widths, self.scheme)
        load_state(self.model, prepared)
        self.model.eval()

    def freeze(self, allocation: Sequence[int]) -> IntegerModel:
        """Return the integer model of one allocation, as :meth:`evaluate` executes it.

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
        """Return the integer model of one allocation, with weights fine-tuned for it from those of :attr:`model`.

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
        return list(self.stream(allocations))

    def stream(self, allocations: Sequence[Sequence[int]]) -> Iterator[Evaluation]:
        """Yield what :meth:`evaluate` returns, one by one."""
        return (self._evaluate(self.freeze(allocation)) for allocation in allocations)

    @cached_property
    def fingerprint(self) -> str:
        """What the evaluations follow from, hashed: the network as prepared, the data, and how they are made."""
        described = [
            type(self).__qualname__,
            list(self.bit_widths),
            repr(self.scheme),
            self.seed,
            self.epochs,
            self.timing_repeats,
            [self.reference.accuracy, self.reference.bitops],
            str(self.model),
            self.task.device.type,
            __version__,
        ]
        network: dict[str, Tensor] = {**self.model.state_dict(), "teacher": self.teacher}
        return content_hash(described, network | task_tensors(self.task))

    def _evaluate(self, model: IntegerModel) -> Evaluation:
        bits = model.input.range.bits
        if bits not in self._features:
            self._features[bits] = model.quantize_features(self.task.inputs("validation").x)
        return self._measure(model, self._features[bits], "validation")

    def measure(self, model: IntegerModel, split: Split) -> Evaluation:
        """Return the evaluation of any integer model of this network on a split: for the final table."""
        return self._measure(model, model.quantize_features(self.task.inputs(split).x), split)

    def _measure(self, model: IntegerModel, features: QTensor, split: Split) -> Evaluation:
        prepared = model.quantize_graph(self.task.inputs(split).graph)
        output, meter, seconds = _metered(lambda: model.execute(features, prepared), self.timing_repeats)
        bitops, product_bitops = meter.bitops("linear"), meter.bitops("product")
        reference = self._reference(split)
        return Evaluation(
            allocation=model.allocation,
            accuracy=self.task.accuracy(output.dequantize(), split),
            bitops=bitops,
            reduction=reference.bitops / bitops,
            product_bitops=product_bitops,
            product_reduction=reference.product_bitops / product_bitops,
            bytes=meter.bytes,
            seconds=seconds,
        )

    def _reference(self, split: Split) -> Evaluation:
        """Return what the float32 model costs on a split: graphs differ from split to split."""
        if split not in self._references:
            self._references[split] = measure_reference(self._float_model, self.task, split=split)
        return self._references[split]


evaluators: Registry[type[IntegerEvaluator]] = Registry("evaluator")


@evaluators.register("supernet")
class SupernetEvaluator(IntegerEvaluator):
    """Evaluates allocations with one set of weights that works at all of them.

    The supernet is trained once, by :func:`~mixq_rl.training.fit_supernet`. See :class:`IntegerEvaluator`.
    """

    preparation = "training the supernet"

    def _prepare(self, progress: Progress | None) -> None:
        fit_supernet(
            self.model,
            self.task,
            self.bit_widths,
            scheme=self.scheme,
            teacher=self.teacher,
            seed=self.seed,
            epochs=self.epochs,
            progress=progress,
        )


@evaluators.register("fine-tune")
class FineTuneEvaluator(IntegerEvaluator):
    """Evaluates each allocation after a short quantization-aware training of its own: 20 epochs unless told otherwise.

    Slow, and near to what a finished network reaches. See :class:`IntegerEvaluator`.
    """

    def freeze(self, allocation: Sequence[int]) -> IntegerModel:
        """Return the integer model of one allocation, shortly fine-tuned from the calibrated float model.

        Raises:
            BitWidthError: for bit-widths that are not on offer.
            SumOverflowError: if an int32 sum might overflow.
        """
        return self.fine_tune(allocation, seed=self.seed, epochs=_SHORT_EPOCHS if self.epochs is None else self.epochs)

    def _evaluate(self, model: IntegerModel) -> Evaluation:
        return self.measure(model, "validation")  # the input's scale was trained too: features are no one else's


@evaluators.register("post-training")
class PostTrainingEvaluator(IntegerEvaluator):
    """Evaluates allocations of the float model's own weights: calibrated, and nothing trained.

    See :class:`IntegerEvaluator`.
    """
