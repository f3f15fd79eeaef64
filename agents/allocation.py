"""Allocation of bit-widths by a trained policy, without a search."""

from collections.abc import Sequence
from importlib.resources import as_file, files
from os import PathLike
from pathlib import Path

from mixq_rl.agents.ppo.agent import PPOAgent
from mixq_rl.agents.records.run_document import CONFIG
from mixq_rl.datasets import GraphTask
from mixq_rl.envs import Constraints, EpisodeRules, TradeOff
from mixq_rl.envs.episodes import check_preference
from mixq_rl.errors import InputError
from mixq_rl.evaluation.evaluators import FineTuneEvaluator, PostTrainingEvaluator
from mixq_rl.evaluation.protocol import Evaluator
from mixq_rl.nn import QuantizableModel
from mixq_rl.storage.reading import check_tree

__all__ = ["PREFERENCE", "allocate", "allocate_for", "check_wish", "load_agent", "pretrained"]

PREFERENCE = 0.3
"""Default preference, at which one point of accuracy is worth about one halving of bit operations."""

_POLICY = "policy"


def pretrained() -> PPOAgent:
    """Return the agent that comes with the package, trained by ``benchmarks/pretrain.py``."""
    with as_file(files("mixq_rl.agents.ppo") / "pretrained") as folder:
        return PPOAgent.load(folder)


def load_agent(path: str | PathLike[str] | None) -> PPOAgent:
    """Return the agent of a saved policy.

    Args:
        path: folder of the policy, or of the run that trained it; None: the policy that comes with the package.

    Raises:
        ArtifactError: if the folder holds no policy, or a policy that cannot be used.
    """
    if path is None:
        return pretrained()
    folder = Path(path)
    inside = folder / _POLICY
    if (folder / CONFIG).is_file():  # a run folder
        check_tree(folder)
    return PPOAgent.load(inside if (inside / f"{_POLICY}.json").is_file() else folder)


def allocate(
    model: QuantizableModel,
    task: GraphTask,
    *,
    preference: float | None = None,
    max_drop: float | None = None,
    bit_widths: Sequence[int] = (2, 4, 8),
    policy: PPOAgent | str | PathLike[str] | None = None,
    seed: int = 0,
    constraints: Constraints = Constraints(),
) -> tuple[int, ...]:
    """Return the bit-width of each component of a float-trained network, chosen by a policy.

    With a preference nothing is trained: the policy needs only the statistics of the float model. With ``max_drop`` a
    binary search finds the cheapest of the policy's 16 allocations that keeps the drop after a short quantization-aware
    training. If none keeps it, the result is the highest allocation within the constraints: without constraints, the
    highest bit-width for all components.

    Args:
        model: float-trained model; not changed.
        task: task of the model.
        preference: weight of the saving against the accuracy, in [0, 1]; None: 0.3.
        max_drop: greatest tolerated drop of the validation accuracy below float32, in points, instead of a preference.
        bit_widths: bit-widths on offer, each within 1...8.
        policy: an agent, the folder of its policy, or the folder of the run that trained it; None: the policy that
            comes with the package.
        seed: seed of the short trainings.
        constraints: constraints on the allocation, such as bit-widths of components and the size of the network.

    Raises:
        InputError: for a preference outside [0, 1], a negative drop, or if both are given; or for constraints that no
            allocation keeps.
        BitWidthError: for a bit-width outside 1...8, or constraints to bit-widths that are not on offer.
        ArtifactError: if the policy cannot be used.

    Example:
        >>> mixq_rl.allocate(model, task, preference=0.5)  # doctest: +SKIP
        (2, 4, 4, 2, 8, 4, 4, 2, 8)
    """
    check_wish(preference, max_drop)
    agent = policy if isinstance(policy, PPOAgent) else load_agent(policy)
    kind = PostTrainingEvaluator if max_drop is None else FineTuneEvaluator
    evaluator = kind(model, task, bit_widths=bit_widths, seed=seed)
    return allocate_for(evaluator, agent, preference, max_drop, constraints)


def allocate_for(
    evaluator: Evaluator,
    agent: PPOAgent,
    preference: float | None = None,
    max_drop: float | None = None,
    constraints: Constraints = Constraints(),
) -> tuple[int, ...]:
    """Return an allocation as :func:`allocate` does, for an evaluator. Without ``max_drop`` nothing is evaluated."""
    if max_drop is not None:
        return _cheapest(agent, evaluator, max_drop / 100, constraints)
    wish = PREFERENCE if preference is None else preference
    return agent.allocate(evaluator, wish, reward=TradeOff(), constraints=constraints)


def check_wish(preference: float | None, max_drop: float | None) -> None:
    """Check the preference and the tolerated drop given to :func:`allocate`.

    Raises:
        InputError: for a preference outside [0, 1], a negative drop, or if both are given.
    """
    if preference is not None and max_drop is not None:
        raise InputError("a preference and a tolerated drop: choose one of the two")
    if preference is not None:
        check_preference(preference)
    if max_drop is not None and not max_drop >= 0:
        raise InputError(f"a tolerated drop of {max_drop} points: it cannot be negative")


def _cheapest(agent: PPOAgent, evaluator: Evaluator, drop: float, constraints: Constraints) -> tuple[int, ...]:
    """Return the cheapest of the policy's allocations that keeps the drop; the most expensive allocation if none does.

    The binary search assumes that more expensive allocations are more accurate.
    """
    most_expensive = EpisodeRules(evaluator, constraints=constraints).limits.highest
    macs = [component.macs for component in evaluator.components]
    proposed = {*agent.sweep(evaluator, reward=TradeOff(), constraints=constraints), most_expensive}
    ordered = sorted(proposed, key=lambda allocation: sum(m * b for m, b in zip(macs, allocation, strict=True)))
    low, high = 0, ordered.index(most_expensive)
    while low < high:
        middle = (low + high) // 2
        (evaluation,) = evaluator.evaluate([ordered[middle]])
        if evaluation.accuracy >= evaluator.reference.accuracy - drop:
            high = middle
        else:
            low = middle + 1
    return ordered[high]
