"""An allocation for a network that no search has seen: what a policy knows from others."""

from collections.abc import Sequence
from importlib.resources import as_file, files
from os import PathLike
from pathlib import Path

from mixq_rl.agents.ppo.agent import PPOAgent
from mixq_rl.datasets import GraphTask
from mixq_rl.envs import TradeOff
from mixq_rl.envs.episodes import check_preference
from mixq_rl.errors import InputError
from mixq_rl.evaluation.evaluators import FineTuneEvaluator, PostTrainingEvaluator
from mixq_rl.evaluation.protocol import Evaluator
from mixq_rl.nn import QuantizableModel

__all__ = ["PREFERENCE", "allocate", "allocate_for", "check_wish", "load_agent", "pretrained"]

PREFERENCE = 0.3
"""Where nothing else is asked for: a point of accuracy weighs about as much as a halving of bit operations."""

_POLICY = "policy"


def pretrained() -> PPOAgent:
    """Read the agent that comes with the package, trained by ``benchmarks/pretrain.py``."""
    with as_file(files("mixq_rl.agents.ppo") / "pretrained") as folder:
        return PPOAgent.load(folder)


def load_agent(path: str | PathLike[str] | None) -> PPOAgent:
    """Return the agent of a policy.

    Args:
        path: its folder, or that of the run that trained it; None: the one that comes with the package.

    Raises:
        ArtifactError: if there is none, or it cannot be used.
    """
    if path is None:
        return pretrained()
    folder = Path(path)
    inside = folder / _POLICY
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
) -> tuple[int, ...]:
    """Return the bit-width of each component of a float-trained network, as a policy names them.

    The statistics of the float model suffice: nothing is trained, unless a drop is to be kept. Then of the policy's 16
    allocations the cheapest is sought, by halving, that keeps it after a short quantization-aware training; if none
    does, it is the highest bit-width everywhere.

    Args:
        model: float-trained; left as it is.
        task: what it is for.
        preference: weight of the saving against the accuracy, in [0, 1]; None: 0.3.
        max_drop: in points of validation accuracy below float32 that are tolerated, in place of a preference.
        bit_widths: on offer, each within 1...8.
        policy: an agent, the folder of its policy, or of the run that trained it; None: the one that comes with the
            package.
        seed: of the short trainings.

    Raises:
        InputError: for a preference outside [0, 1], a negative drop, or both.
        BitWidthError: for a bit-width outside 1...8.
        ArtifactError: if the policy cannot be used.

    Example:
        >>> mixq_rl.allocate(model, task, preference=0.5)  # doctest: +SKIP
        (2, 4, 4, 2, 8, 4, 4, 2, 8)
    """
    check_wish(preference, max_drop)
    agent = policy if isinstance(policy, PPOAgent) else load_agent(policy)
    kind = PostTrainingEvaluator if max_drop is None else FineTuneEvaluator
    return allocate_for(kind(model, task, bit_widths=bit_widths, seed=seed), agent, preference, max_drop)


def allocate_for(
    evaluator: Evaluator, agent: PPOAgent, preference: float | None = None, max_drop: float | None = None
) -> tuple[int, ...]:
    """Return what :func:`allocate` does, of an evaluator: nothing is evaluated, unless a drop is to be kept."""
    if max_drop is not None:
        return _cheapest(agent, evaluator, max_drop / 100)
    return agent.allocate(evaluator, PREFERENCE if preference is None else preference, reward=TradeOff())


def check_wish(preference: float | None, max_drop: float | None) -> None:
    """Refuse what :func:`allocate` cannot follow.

    Raises:
        InputError: for a preference outside [0, 1], a negative drop, or both.
    """
    if preference is not None and max_drop is not None:
        raise InputError("a preference and a tolerated drop: choose one of the two")
    if preference is not None:
        check_preference(preference)
    if max_drop is not None and not max_drop >= 0:
        raise InputError(f"a tolerated drop of {max_drop} points: it cannot be negative")


def _cheapest(agent: PPOAgent, evaluator: Evaluator, drop: float) -> tuple[int, ...]:
    """Return the cheapest of the policy's allocations that keeps the drop; the most expensive allocation if none does.

    The dearer of two is taken to be the more accurate.
    """
    most_expensive = (evaluator.bit_widths[-1],) * len(evaluator.components)
    macs = [component.macs for component in evaluator.components]
    proposed = {*agent.sweep(evaluator, reward=TradeOff()), most_expensive}
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
