"""Evaluators of a network: with a supernet's weights, with fine-tuned weights, or with those of the float network."""

from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar, Self

from mixq_rl.datasets import GraphTask
from mixq_rl.evaluation.integer_evaluator import IntegerEvaluator
from mixq_rl.evaluation.protocol import Evaluation
from mixq_rl.evaluation.timing import check_repeats
from mixq_rl.integer.model import IntegerModel
from mixq_rl.nn import QuantizableModel
from mixq_rl.quantization import Scheme, schemes
from mixq_rl.registry import Registry
from mixq_rl.training.loop import Progress
from mixq_rl.training.preparation import PreparedNetwork, prepare_calibrated, prepare_supernet

__all__ = ["FineTuneEvaluator", "NetworkEvaluator", "PostTrainingEvaluator", "SupernetEvaluator", "evaluators"]

_SHORT_EPOCHS = 20


class NetworkEvaluator(IntegerEvaluator):
    """Evaluator that prepares a float-trained network itself.

    ``SupernetEvaluator(model, task)`` is short for
    ``SupernetEvaluator.of(prepare_supernet(model, task))``, and takes as long: a supernet trains for minutes.

    Args:
        model: float-trained; is not changed.
        task: its training split trains what is trained, its validation split gives the accuracies.
        bit_widths: on offer, each within 1...8.
        scheme: how scales are found, and whether they are learned.
        seed: of all training.
        epochs: of all training; None: the default.
        timing_repeats: as of :class:`~mixq_rl.evaluation.integer_evaluator.IntegerEvaluator`.
        progress: called after each epoch of the preparation.

    Attributes:
        prepare: prepares the network.
        preparation: name of what ``prepare`` does, for a progress bar.

    Raises:
        BitWidthError: for a bit-width outside 1...8.
        InputError: for less than one timing repeat.
    """

    prepare: ClassVar[Callable[..., PreparedNetwork]] = staticmethod(prepare_calibrated)
    preparation: ClassVar[str] = "calibrating"

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
    ) -> None:
        check_repeats(timing_repeats)
        prepared = self.prepare(model, task, bit_widths, scheme=scheme, seed=seed, epochs=epochs, progress=progress)
        super().__init__(prepared, seed=seed, epochs=epochs, timing_repeats=timing_repeats)

    @classmethod
    def of(
        cls, prepared: PreparedNetwork, *, seed: int = 0, epochs: int | None = None, timing_repeats: int = 1
    ) -> Self:
        """Return the evaluator of a network that is prepared already.

        Args:
            prepared: what :attr:`prepare` returned.
            seed: of its preparation, and of further training.
            epochs: of its preparation, and of further training.
            timing_repeats: as of the class.

        Raises:
            InputError: for less than one timing repeat.
        """
        evaluator = cls.__new__(cls)
        IntegerEvaluator.__init__(evaluator, prepared, seed=seed, epochs=epochs, timing_repeats=timing_repeats)
        return evaluator


evaluators: Registry[type[NetworkEvaluator]] = Registry("evaluator")


@evaluators.register("supernet")
class SupernetEvaluator(NetworkEvaluator):
    """Evaluates allocations with one set of weights that works for all of them.

    The supernet is trained once, by :func:`~mixq_rl.training.prepare_supernet`. Arguments are those of
    :class:`NetworkEvaluator`.
    """

    prepare = staticmethod(prepare_supernet)
    preparation = "training the supernet"


@evaluators.register("fine-tune")
class FineTuneEvaluator(NetworkEvaluator):
    """Evaluates each allocation after a short quantization-aware training of its own, of 20 epochs by default.

    This is slow, and close to what a finished network reaches. Arguments are those of :class:`NetworkEvaluator`.
    """

    def freeze(self, allocation: Sequence[int]) -> IntegerModel:
        """Return the integer model of one allocation, fine-tuned for a few epochs from the calibrated float model.

        Raises:
            BitWidthError: for bit-widths that are not on offer.
            SumOverflowError: if an int32 sum might overflow.
        """
        return self.fine_tune(allocation, seed=self.seed, epochs=_SHORT_EPOCHS if self.epochs is None else self.epochs)

    def stream(self, allocations: Sequence[Sequence[int]]) -> Iterator[Evaluation]:
        """Yield the evaluations one by one. Allocations share no weights, so they share no execution either."""
        return self._whole(allocations)


@evaluators.register("post-training")
class PostTrainingEvaluator(NetworkEvaluator):
    """Evaluates allocations with the float model's own weights: scales are calibrated, and nothing is trained.

    Arguments are those of :class:`NetworkEvaluator`.
    """
