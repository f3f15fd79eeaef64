"""Evaluators with the weights of a supernet, with fine-tuned weights, or with the weights of the float network."""

from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar, Self

from mixq_rl.datasets import GraphTask
from mixq_rl.evaluation.integer_evaluator import IntegerEvaluator
from mixq_rl.evaluation.protocol import Evaluation
from mixq_rl.evaluation.timing import check_repeats
from mixq_rl.integer.model import IntegerModel
from mixq_rl.nn import QuantizableModel
from mixq_rl.quantization import DEFAULT_BITS, Scheme, schemes
from mixq_rl.registry import Registry
from mixq_rl.training.loop import Progress
from mixq_rl.training.preparation import PreparedNetwork, prepare_calibrated, prepare_supernet
from mixq_rl.training.schedules import shortened

__all__ = ["FineTuneEvaluator", "NetworkEvaluator", "PostTrainingEvaluator", "SupernetEvaluator", "evaluators"]

_SHORT_EPOCHS = 20


class NetworkEvaluator(IntegerEvaluator):
    """Evaluator that prepares a float-trained network in its constructor.

    ``SupernetEvaluator(model, task)`` is short for ``SupernetEvaluator.of(prepare_supernet(model, task))``. It takes as
    long: the training of a supernet takes minutes.

    Args:
        model: float-trained model; not changed.
        task: task of the model. The training split is used for training, the validation split for the accuracies.
        bit_widths: bit-widths on offer, each within 1...8.
        scheme: how scales are found, and whether they are learned.
        seed: seed of all training.
        epochs: number of epochs of all training; None: the default.
        timing_repeats: as in :class:`~mixq_rl.evaluation.integer_evaluator.IntegerEvaluator`.
        progress: called after each epoch of the preparation.

    Attributes:
        prepare: function that prepares the network.
        preparation: title of the preparation in a progress bar.

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
        bit_widths: Sequence[int] = DEFAULT_BITS,
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
        """Return the evaluator of a prepared network.

        Args:
            prepared: return value of :attr:`prepare`.
            seed: seed of its preparation and of further training.
            epochs: number of epochs of its preparation and of further training; None: the default.
            timing_repeats: as in the class.

        Raises:
            InputError: for less than one timing repeat.
        """
        evaluator = cls.__new__(cls)
        IntegerEvaluator.__init__(evaluator, prepared, seed=seed, epochs=epochs, timing_repeats=timing_repeats)
        return evaluator


evaluators: Registry[type[NetworkEvaluator]] = Registry("evaluator")


@evaluators.register("supernet")
class SupernetEvaluator(NetworkEvaluator):
    """Evaluator with one set of weights for all allocations.

    The supernet is trained once, by :func:`~mixq_rl.training.prepare_supernet`. Arguments are those of
    :class:`NetworkEvaluator`. Evaluations of node tasks whose metric is the accuracy have an ``estimate``: only this
    evaluator has a teacher that knows more than the float network.
    """

    estimates = True

    prepare = staticmethod(prepare_supernet)
    preparation = "training the supernet"


@evaluators.register("fine-tune")
class FineTuneEvaluator(NetworkEvaluator):
    """Evaluator that fine-tunes the network for each allocation, by quantization-aware training.

    The training has 20 epochs by default, with mini-batches of nodes at most a fifth of the usual number. The evaluator
    is slow, and its accuracies are close to those of a finished network. Arguments are those of
    :class:`NetworkEvaluator`.
    """

    def freeze(self, allocation: Sequence[int]) -> IntegerModel:
        """Return the integer model of one allocation, fine-tuned for a few epochs from the calibrated float model.

        Raises:
            BitWidthError: for bit-widths that are not on offer.
            SumOverflowError: if an int32 sum might overflow.
        """
        epochs = shortened(_SHORT_EPOCHS, self.task) if self.epochs is None else self.epochs
        return self.fine_tune(allocation, seed=self.seed, epochs=epochs)

    def stream(self, allocations: Sequence[Sequence[int]]) -> Iterator[Evaluation]:
        """Yield the evaluations one by one. Allocations share no weights, so they share no execution either."""
        return self._whole(allocations)


@evaluators.register("post-training")
class PostTrainingEvaluator(NetworkEvaluator):
    """Evaluator with the weights of the float model: scales are calibrated, and nothing is trained.

    Arguments are those of :class:`NetworkEvaluator`.
    """
