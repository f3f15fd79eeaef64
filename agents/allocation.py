"""Allocation of bit-widths by a trained policy, without a search."""

import math
from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import as_file, files
from os import PathLike
from pathlib import Path

from mixq_rl.agents.ppo.agent import PPOAgent
from mixq_rl.agents.records.run_document import CONFIG
from mixq_rl.agents.target import Choice, cheapest, most_accurate
from mixq_rl.agents.trials import Trials
from mixq_rl.datasets import GraphTask
from mixq_rl.envs import Constraints, TradeOff
from mixq_rl.envs.episodes import check_preference
from mixq_rl.errors import InputError
from mixq_rl.evaluation.evaluators import PostTrainingEvaluator
from mixq_rl.evaluation.integer_evaluator import IntegerEvaluator
from mixq_rl.evaluation.ledger import Ledger
from mixq_rl.nn import QuantizableModel
from mixq_rl.quantization import DEFAULT_BITS
from mixq_rl.storage.reading import check_tree

__all__ = ["PREFERENCE", "allocate", "check_wish", "choose", "load_agent", "pretrained"]

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
    max_reduction: float | None = None,
    bit_widths: Sequence[int] = DEFAULT_BITS,
    policy: PPOAgent | str | PathLike[str] | None = None,
    seed: int = 0,
    constraints: Constraints = Constraints(),
) -> tuple[int, ...]:
    """Return the bit-width of each component of a float-trained network, chosen by a policy.

    With a preference nothing is trained or executed: the policy needs only the statistics of the float model. With
    ``max_reduction`` some of the policy's allocations are executed after calibration, and nothing is trained. With
    ``max_drop`` up to four allocations are fine-tuned for a short time; see :func:`choose`, which also says how sure
    the choice is.

    Args:
        model: float-trained model; not changed.
        task: task of the model.
        preference: weight of the saving against the accuracy, in [0, 1]; None: 0.3.
        max_drop: greatest tolerated drop of the metric below float32 after fine-tuning, in points. The result is the
            cheapest of the policy's allocations that is more likely than not to keep it.
        max_reduction: limit on the bit operations, as those of float32 over this number. Without ``max_drop`` the
            result is the policy's most accurate allocation within this limit.
        bit_widths: bit-widths on offer, each within 1...8.
        policy: an agent, the folder of its policy, or the folder of the run that trained it; None: the policy that
            comes with the package.
        seed: seed of the short trainings.
        constraints: constraints on the allocation, such as bit-widths of components and the size of the network.

    Raises:
        InputError: for a preference outside [0, 1], a negative drop, a reduction that is not positive, or a preference
            beside one of the other two; or for limits that no allocation keeps.
        BitWidthError: for a bit-width outside 1...8, or constraints to bit-widths that are not on offer.
        ArtifactError: if the policy cannot be used.

    Example:
        >>> mixq_rl.allocate(model, task, preference=0.5)  # doctest: +SKIP
        (2, 4, 4, 2, 8, 4, 4, 2, 8)
    """
    check_wish(preference, max_drop, max_reduction)
    agent = policy if isinstance(policy, PPOAgent) else load_agent(policy)
    evaluator = PostTrainingEvaluator(model, task, bit_widths=bit_widths, seed=seed)
    if max_drop is None and max_reduction is None:
        wish = PREFERENCE if preference is None else preference
        return agent.allocate(evaluator, wish, reward=TradeOff(), constraints=constraints)
    return choose(evaluator, model, agent, preference, max_drop, max_reduction, constraints).allocation


def choose(
    evaluator: IntegerEvaluator,
    model: QuantizableModel,
    agent: PPOAgent,
    preference: float | None = None,
    max_drop: float | None = None,
    max_reduction: float | None = None,
    constraints: Constraints = Constraints(),
) -> Choice:
    """Return an allocation as :func:`allocate` does, its evaluation, and how likely it keeps the drop.

    Args:
        evaluator: evaluator of the calibrated network.
        model: the float-trained network.
        agent: agent with the policy.
        preference, max_drop, max_reduction, constraints: as in :func:`allocate`.

    Raises:
        InputError: for limits that no allocation keeps.
    """
    if max_reduction is not None:
        limit = evaluator.reference.bitops / max_reduction
        given = limit if constraints.max_bitops is None else min(limit, constraints.max_bitops)
        constraints = replace(constraints, max_bitops=given)
    if max_drop is not None:
        return cheapest(agent, Trials(evaluator, model), max_drop, constraints)
    if max_reduction is not None:
        return most_accurate(agent, Trials(evaluator, model), constraints)
    ledger, wish = Ledger.of(evaluator), PREFERENCE if preference is None else preference
    chosen = agent.allocate(ledger, wish, reward=TradeOff(), constraints=constraints)
    (evaluation,) = ledger.evaluate([chosen])
    return Choice(chosen, evaluation)


def check_wish(preference: float | None, max_drop: float | None, max_reduction: float | None = None) -> None:
    """Check the wishes given to :func:`allocate`.

    Raises:
        InputError: for a preference outside [0, 1], a negative drop, a reduction that is not positive and finite, or a
            preference beside one of the other two.
    """
    if preference is not None and max_drop is not None:
        raise InputError("a preference and a tolerated drop: choose one of the two")
    if preference is not None and max_reduction is not None:
        raise InputError("a preference and a reduction: choose one of the two")
    if preference is not None:
        check_preference(preference)
    if max_drop is not None and not max_drop >= 0:
        raise InputError(f"a tolerated drop of {max_drop} points: it cannot be negative")
    if max_reduction is not None and not 0 < max_reduction < math.inf:
        raise InputError(f"{max_reduction:g} times fewer bit operations: it must be positive and finite")
