"""Evaluators of a network that tests of Ray workers have fine-tuned in other processes."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path

from mixq_rl.evaluation.integer_evaluator import IntegerEvaluator
from mixq_rl.integer.model import IntegerModel
from mixq_rl.training.loop import Progress
from mixq_rl.training.preparation import PreparedNetwork

__all__ = ["Short"]


class Short(IntegerEvaluator):
    """Fine-tuning takes three epochs. The process that fine-tunes 2 bits everywhere dies the first times.

    Each fine-tuning leaves a line in the file ``begun``.
    """

    def __init__(self, prepared: PreparedNetwork, folder: Path, deaths: int) -> None:
        super().__init__(prepared)
        self.begun, self.deaths = folder / "begun", deaths

    def fine_tune(
        self,
        allocation: Sequence[int],
        *,
        seed: int = 0,
        epochs: int | None = None,
        progress: Progress | None = None,
    ) -> IntegerModel:
        with self.begun.open("a") as file:
            file.write(f"{allocation[0]}\n")
        if set(allocation) == {2} and self.begun.read_text().splitlines().count("2") <= self.deaths:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().fine_tune(allocation, seed=seed, epochs=3, progress=progress)
