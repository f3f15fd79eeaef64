"""Evaluators that execute a network on integers: they differ in where an allocation's weights come from."""

from collections.abc import Iterator, Sequence

from mixq_rl.evaluation.integer_evaluator import IntegerEvaluator
from mixq_rl.evaluation.measurement import measure_reference
from mixq_rl.evaluation.protocol import Evaluation
from mixq_rl.integer.model import IntegerModel
from mixq_rl.registry import Registry
from mixq_rl.training.loop import Progress
from mixq_rl.training.supernet import fit_supernet

__all__ = [
    "FineTuneEvaluator",
    "IntegerEvaluator",
    "PostTrainingEvaluator",
    "SupernetEvaluator",
    "evaluators",
    "measure_reference",
]

_SHORT_EPOCHS = 20

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

    def stream(self, allocations: Sequence[Sequence[int]]) -> Iterator[Evaluation]:
        """Yield what :meth:`evaluate` returns, one by one: no two allocations share weights, or anything executed."""
        return self._whole(allocations)


@evaluators.register("post-training")
class PostTrainingEvaluator(IntegerEvaluator):
    """Evaluates allocations of the float model's own weights: calibrated, and nothing trained.

    See :class:`IntegerEvaluator`.
    """
