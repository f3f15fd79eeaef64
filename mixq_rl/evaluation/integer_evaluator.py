"""Base class of evaluators that execute a network on integers."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cached_property, partial
from typing import Any, ClassVar

from torch import Tensor

from mixq_rl.datasets import Split
from mixq_rl.errors import ScaleError, SumOverflowError
from mixq_rl.evaluation.accuracy_estimate import AccuracyEstimate
from mixq_rl.evaluation.chunks import in_chunks
from mixq_rl.evaluation.integer_metric import IntegerMetric
from mixq_rl.evaluation.measurement import float_execution, measure_reference, metered, reference_of
from mixq_rl.evaluation.overflow import overflowing
from mixq_rl.evaluation.protocol import Evaluation, Forbidden, check_allocation
from mixq_rl.evaluation.shared_execution import OpCost, SharedExecution
from mixq_rl.evaluation.timing import median_seconds
from mixq_rl.integer.model import IntegerModel
from mixq_rl.nn import QuantizableModel
from mixq_rl.quantization import QTensor
from mixq_rl.storage.hashing import content_hash
from mixq_rl.training.batch_statistics import estimate_statistics
from mixq_rl.training.cache import task_tensors
from mixq_rl.training.fine_tuning import fine_tune
from mixq_rl.training.loop import Progress
from mixq_rl.training.preparation import PreparedNetwork
from mixq_rl.version import __version__

__all__ = ["IntegerEvaluator"]

_VERSION = 3


class IntegerEvaluator:
    """Evaluator that freezes an allocation, executes it on integers and measures it on the validation split.

    The ``accuracy`` of an evaluation is the value of the task's metric. :attr:`estimate` makes its ``estimate``.

    Allocations with the same bit-widths for a step and for all steps before it share the result of that step
    (:class:`~mixq_rl.evaluation.shared_execution.SharedExecution`), also in later calls, until :attr:`model` changes.
    An evaluation equals that of its allocation executed alone. Its seconds are the sum of the seconds that its
    operations took when they were executed; on a GPU they are 0.0, because single executions are not timed there. With
    more than one timing repeat nothing is shared.

    Batch normalisation has statistics of its own at each allocation, not the running statistics of :attr:`model`: those
    of the calibration data (:func:`~mixq_rl.training.batch_statistics.estimate_statistics`), or those of fine-tuning.

    Args:
        prepared: the network, with scales for each bit-width on offer.
        seed: seed of the preparation. Callers of :meth:`fine_tune` pass it by default.
        epochs: number of epochs of the preparation; None: the default.
        timing_repeats: number of timed executions. 1: the seconds are those of the only execution. More: the first
            execution gives metric and bit operations and is the warm-up, and the seconds are the median of this many
            further executions. The reference is timed in the same way. On a GPU the executions are replays of a CUDA
            graph (:func:`~mixq_rl.evaluation.timing.median_seconds`).

    Attributes:
        task: task of the network.
        model: the prepared network, from which fine-tuning starts. The next call notices changes made through torch,
            but not changes that bypass torch (``parameter.data``, numpy).
        teacher: targets of distillation in fine-tuning, as of the prepared network.
        estimates: whether evaluators of the class estimate the accuracy where they can.
        estimate: estimate of the accuracy; None: evaluations have none, and validation accuracies are compared.
        bit_widths: bit-widths on offer, ascending.
        scheme: how scales are found, and whether they are learned.
        seed, epochs, timing_repeats: as given.
        components: components of the float-trained model.
        reference: evaluation of the float-trained model.

    Raises:
        InputError: for less than one timing repeat.
    """

    estimates: ClassVar[bool] = False

    def __init__(
        self, prepared: PreparedNetwork, *, seed: int = 0, epochs: int | None = None, timing_repeats: int = 1
    ) -> None:
        self.task = prepared.task
        self.model = prepared.model
        self.teacher = prepared.teacher
        self.components = prepared.components
        self.bit_widths = prepared.bit_widths
        self.scheme = prepared.scheme
        self.seed = seed
        self.epochs = epochs
        self.timing_repeats = timing_repeats
        self.reference = reference_of(prepared, timing_repeats)
        self._float_model = prepared.float_model
        self.estimate = AccuracyEstimate.where_known(prepared, self.reference) if self.estimates else None
        self._references: dict[Split, Evaluation] = {"validation": self.reference}
        self._shared: SharedExecution | None = None

    def freeze(self, allocation: Sequence[int]) -> IntegerModel:
        """Return the integer model of one allocation, as :meth:`evaluate` executes it.

        Raises:
            BitWidthError: for bit-widths that are not on offer.
            SumOverflowError: if an int32 sum might overflow.
        """
        return self.shared.freeze(check_allocation(self, allocation))

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
            seed: seed of the fine-tuning.
            epochs: number of epochs; None: the default of :func:`~mixq_rl.training.fine_tune`.
            progress: called after each epoch.

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
        """Freeze each allocation, execute it on integers, and return its evaluation on the validation split.

        Raises:
            BitWidthError: for bit-widths that are not on offer.
            SumOverflowError: if an int32 sum might overflow.
        """
        return list(self.stream(allocations))

    def stream(self, allocations: Sequence[Sequence[int]]) -> Iterator[Evaluation]:
        """Yield the evaluations of :meth:`evaluate` one by one, in chunks of about half a second of execution."""
        if self.timing_repeats > 1:
            yield from self._whole(allocations)
            return
        checked = [check_allocation(self, allocation) for allocation in allocations]
        yield from in_chunks(checked, self._together)

    def _together(self, allocations: Sequence[tuple[int, ...]]) -> list[Evaluation]:
        shared, judge = self.shared, IntegerMetric(self.task, "validation")
        costs: dict[tuple[int, ...], dict[str, Any]] = {}
        measured: dict[tuple[int, ...], Tensor] = {}
        opinions: dict[tuple[int, ...], Tensor] = {}
        # Neighbours in this order share the first steps, whose results are still in the cache.
        for allocation in sorted(set(allocations)):
            output, each = shared.execute(allocation)
            costs[allocation], measured[allocation] = OpCost.total(each)._asdict(), judge.measure(output)
            if self.estimate is not None:
                opinions[allocation] = self.estimate.measure(output)
        scores, size = judge.of(list(measured.values())), shared.frozen.size
        made = [
            Evaluation.against(self.reference, allocation=each, accuracy=score, size=size(each), **costs[each])
            for each, score in zip(measured, scores, strict=True)
        ]
        if self.estimate is not None:
            made = self.estimate.added(made, list(opinions.values()))
        found = {evaluation.allocation: evaluation for evaluation in made}
        return [found[each] for each in allocations]

    def _whole(self, allocations: Sequence[Sequence[int]]) -> Iterator[Evaluation]:
        """Yield the evaluations of allocations whose networks are executed separately."""
        for network in map(self.freeze, allocations):
            yield self.measure(network, "validation")

    def sizes(self, allocations: Sequence[Sequence[int]]) -> list[int]:
        """Return the bytes of the files of the network at each allocation, its :attr:`~mixq_rl.IntegerModel.room`.

        Nothing is executed on integers, and fine-tuning does not change the size.

        Raises:
            BitWidthError: for bit-widths that are not on offer.
            SumOverflowError: if an int32 sum might overflow.
        """
        frozen = self.shared.frozen
        return [frozen.size(check_allocation(self, allocation)) for allocation in allocations]

    @property
    def shared(self) -> SharedExecution:
        """Shared execution of :attr:`model` on the validation split, made again if the model has changed."""
        inputs = self.task.inputs("validation")
        if self._shared is None or not self._shared.serves(self.model, inputs.graph):
            measure = partial(estimate_statistics, task=self.task)
            self._shared = SharedExecution(self.model, inputs.x, inputs.graph, measure=measure)
        return self._shared

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_shared": None}  # a copy has its own cache

    def warm_up(self, progress: Progress | None = None) -> None:
        """Execute each step at its combinations of bit-widths, so that kernels are compiled.

        Combinations are those of :meth:`~mixq_rl.evaluation.frozen_steps.FrozenSteps.combinations`: not all of them if
        a step depends on more than three components. Combinations with an overflow are skipped.

        Args:
            progress: called with (steps executed, steps in all).
        """
        inputs = self.task.inputs("validation")
        shared = SharedExecution(self.model, inputs.x, inputs.graph)  # kernels do not depend on statistics
        combinations = shared.frozen.combinations(self.bit_widths)
        for done, (place, allocation) in enumerate(combinations, start=1):
            with suppress(SumOverflowError, ScaleError):
                shared.execute_step(allocation, place)
            if progress is not None:
                progress(done, len(combinations))

    @cached_property
    def forbidden(self) -> tuple[Forbidden, ...]:
        """The combinations of bit-widths whose int32 sums might overflow, on the graphs of any split.

        Sums over neighbours are judged by bit-widths alone, so that the answer holds after fine-tuning too.
        :meth:`evaluate` knows the integers and may accept more.

        Raises:
            SumOverflowError: if no allocation can be executed.
        """
        graphs = {id(inputs.graph): inputs.graph for inputs in map(self.task.inputs, self.task.masks)}
        return overflowing(self.shared.frozen, tuple(graphs.values()), self.bit_widths)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all that determines the evaluations: prepared network, data, settings, and versions."""
        described = [
            [_VERSION, type(self).__qualname__, self.estimate is not None],
            list(self.bit_widths),
            repr(self.scheme),
            [self.seed, self.epochs, self.timing_repeats],
            [self.reference.accuracy, self.reference.bitops],
            str(self.model),
            self.task.metric,
            repr(self.task.mini_batches),
            self.task.device.type,
            __version__,
        ]
        network: dict[str, Tensor] = {**self.model.state_dict(), "teacher": self.teacher}
        return content_hash(described, network | task_tensors(self.task))

    def measure(self, model: IntegerModel, split: Split, *, timing_repeats: int | None = None) -> Evaluation:
        """Return the evaluation of any integer model of this network on a split; on validation data it has an estimate.

        Args:
            model: integer model, for example a fine-tuned one.
            split: split whose inputs are executed and measured.
            timing_repeats: number of timed executions; None: that of the evaluator.
        """
        repeats = self.timing_repeats if timing_repeats is None else timing_repeats
        output, meter, seconds = metered(self.execution(model, split), repeats, self.task.device)
        evaluation = Evaluation.against(
            self._reference(split),
            allocation=model.allocation,
            accuracy=self.task.score(output.dequantize(), split),
            bitops=meter.bitops("linear"),
            product_bitops=meter.bitops("product"),
            bytes=meter.bytes,
            seconds=seconds,
            size=model.room,
        )
        if self.estimate is None or split != "validation":
            return evaluation
        return self.estimate.added([evaluation], [self.estimate.measure(output)])[0]

    def time_together(self, networks: Sequence[QuantizableModel | IntegerModel]) -> list[float]:
        """Return the seconds that each network takes on the validation split. Float models are executed in float32.

        The networks take turns, :attr:`timing_repeats` times each, so that other load affects all of them equally.

        Args:
            networks: networks that have been executed before, so that they are warm.
        """
        executions: list[Callable[[], object]] = [
            self.execution(network, "validation")
            if isinstance(network, IntegerModel)
            else float_execution(network, self.task, "validation")
            for network in networks
        ]
        return median_seconds(executions, self.timing_repeats, self.task.device)

    def execution(self, model: IntegerModel, split: Split) -> Callable[[], QTensor]:
        """Return a function that executes an integer model of this network on a split, and returns its logits."""
        inputs = self.task.inputs(split)
        features, prepared = model.quantize_features(inputs.x), model.quantize_graph(inputs.graph)
        return lambda: model.execute(features, prepared)

    def _reference(self, split: Split) -> Evaluation:
        """Return the evaluation of the float32 model on a split; of a graph task each split has other graphs."""
        if split not in self._references:
            self._references[split] = measure_reference(self._float_model, self.task, split=split)
        return self._references[split]
