"""Choice of a policy's allocation for a target: a greatest drop, or a least reduction."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mixq_rl.agents.drop_prediction import DropPrediction
from mixq_rl.agents.ppo.agent import PPOAgent
from mixq_rl.agents.trials import Trial, Trials
from mixq_rl.datasets.metrics import ACCURACY
from mixq_rl.envs import Constraints, EpisodeRules, TradeOff
from mixq_rl.errors import InputError
from mixq_rl.evaluation.ledger import Ledger
from mixq_rl.evaluation.protocol import Evaluation

__all__ = ["Choice", "cheapest", "most_accurate", "settle"]

_LIKELY = 0.5
_MOST_TRAININGS = 4
_PREFERENCES = np.linspace(0, 1, 17)


@dataclass(frozen=True)
class Choice:
    """A chosen allocation.

    Attributes:
        allocation: the bit-width of each component.
        evaluation: its evaluation on validation data: after a short fine-tuning for a greatest drop, otherwise after
            calibration.
        confidence: estimated probability that the network, after its whole fine-tuning, loses at most the tolerated
            drop on as many unseen items as the test split has. None without such a drop, or for a metric other than the
            accuracy, for which it was not measured.
        trainings: number of short fine-tunings.
    """

    allocation: tuple[int, ...]
    evaluation: Evaluation
    confidence: float | None = None
    trainings: int = 0


def cheapest(agent: PPOAgent, trials: Trials, max_drop: float, constraints: Constraints) -> Choice:
    """Return the cheapest of the policy's allocations that is more likely than not to keep a drop.

    The candidates are those of the policy's sweeps over all bit-widths and without the lowest ones, and the highest
    allocation within the constraints. The divergence of each calibrated network predicts its drop. The cheapest likely
    one is fine-tuned for a short time, and the result changes all predictions. This ends when the cheapest likely one
    has been fine-tuned, or after four fine-tunings.

    Args:
        agent: agent with the policy.
        trials: trials of the network's allocations.
        max_drop: greatest drop, in points.
        constraints: constraints on the allocation.

    Returns:
        The cheapest fine-tuned allocation that is likely to keep the drop, or the likeliest if none is.

    Raises:
        InputError: for constraints that no allocation keeps.
    """
    ledger, task = Ledger.of(trials.evaluator), trials.evaluator.task
    highest = EpisodeRules(ledger, constraints=constraints).limits.highest
    proposed = {*_sweeps(agent, ledger, constraints), highest}
    candidates = sorted(ledger.evaluate(sorted(proposed)), key=lambda evaluation: evaluation.bitops)
    prediction = DropPrediction(
        [trials.divergence(candidate.allocation) for candidate in candidates],
        error=1 - ledger.reference.accuracy,
        unseen=int(task.masks["test"].sum()),
    )
    made: dict[int, Trial] = {}

    def fine_tune(index: int) -> tuple[float, float]:
        made[index] = trial = trials.short(candidates[index].allocation)
        return trial.drop, trial.variance

    chosen = settle(prediction, max_drop, fine_tune)
    confidence = float(prediction.probability(max_drop)[chosen]) if task.measure is ACCURACY else None
    return Choice(candidates[chosen].allocation, made[chosen].evaluation, confidence, len(made))


def _sweeps(agent: PPOAgent, ledger: Ledger, constraints: Constraints) -> Iterator[tuple[int, ...]]:
    """Yield the allocations of the policy's sweeps, over all bit-widths and without the lowest one, two, ... of them.

    With 1 bit on offer most of a sweep has 1 bit somewhere, which few drops allow.
    """
    yield from agent.sweep(ledger, reward=TradeOff(), constraints=constraints)
    widths = constraints.bits or tuple(ledger.bit_widths)
    for first in range(1, len(widths) - 1):
        try:
            yield from agent.sweep(ledger, reward=TradeOff(), constraints=replace(constraints, bits=widths[first:]))
        except InputError:  # a limit on the cost cannot be kept without the lowest bits
            return


def settle(prediction: DropPrediction, max_drop: float, observe: Callable[[int], tuple[float, float]]) -> int:
    """Return the index of the allocation that :func:`cheapest` chooses.

    Args:
        prediction: prediction of the drops of allocations, the cheapest first; it receives what is observed.
        max_drop: greatest drop, in points.
        observe: returns the drop of an allocation after a short fine-tuning, and the variance of this drop.
    """
    while len(prediction.observed) < _MOST_TRAININGS:
        index = _first_likely(prediction.probability(max_drop))
        if index in prediction.observed:
            break
        prediction.observe(index, *observe(index))
    tried = sorted(prediction.observed)
    return tried[_first_likely(prediction.probability(max_drop)[tried])]


def most_accurate(agent: PPOAgent, trials: Trials, constraints: Constraints) -> Choice:
    """Return the policy's allocation within constraints whose calibrated network differs least from float32.

    The candidates are the policy's most likely allocations at 17 preferences, and its sweep. Nothing is trained.

    Args:
        agent: agent with the policy.
        trials: trials of the network's allocations.
        constraints: constraints on the allocation, among them that on bit operations.

    Raises:
        InputError: for constraints that no allocation keeps.
    """
    ledger = Ledger.of(trials.evaluator)
    proposed = {*agent.sweep(ledger, reward=TradeOff(), constraints=constraints)}
    for preference in _PREFERENCES:
        proposed.add(agent.allocate(ledger, float(preference), reward=TradeOff(), constraints=constraints))
    candidates = sorted(ledger.evaluate(sorted(proposed)), key=lambda evaluation: evaluation.bitops)
    best = min(candidates, key=lambda candidate: trials.divergence(candidate.allocation))
    return Choice(best.allocation, best)


def _first_likely(probability: NDArray[np.float64]) -> int:
    """Return the first index whose probability is at least one half, or that of the greatest probability."""
    likely = np.flatnonzero(probability >= _LIKELY)
    return int(likely[0]) if len(likely) else int(probability.argmax())
