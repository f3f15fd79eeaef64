"""PPO agent that learns to allocate bit-widths."""

from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Self

import gymnasium
import numpy as np
from sb3_contrib import MaskablePPO
from stable_baselines3.common.logger import Logger

from mixq_rl.agents.ppo.algorithm import environments, for_each, learn_from_rollouts, make_ppo
from mixq_rl.agents.ppo.explorer import Explorer
from mixq_rl.agents.ppo.imitation import imitate
from mixq_rl.agents.ppo.policy import AllocationPolicy
from mixq_rl.agents.ppo.policy_file import load_policy, save_policy
from mixq_rl.agents.ppo.proposals import SWEEP, roll_out, sweep
from mixq_rl.agents.ppo.settings import PPOSettings
from mixq_rl.agents.ppo.state import load_ppo_state, ppo_state
from mixq_rl.agents.records.checkpoints import State
from mixq_rl.agents.records.policy_record import PolicyRecord
from mixq_rl.envs import Constraints, LayerStatistics, Reward
from mixq_rl.envs.episodes import EpisodeRules, check_preference
from mixq_rl.errors import ArtifactError, InputError
from mixq_rl.evaluation.protocol import Evaluation, Evaluator
from mixq_rl.randomness import RandomStream

__all__ = ["PPOAgent", "PPOSettings", "Watcher"]

Watcher = Callable[[Sequence[Evaluation]], None]
"""Called with the evaluations of each batch of episodes."""


class PPOAgent:
    """An agent that learns to allocate bit-widths, for all preferences at once, from few evaluations.

    The policy is that of MaskablePPO, with networks that score any bit-width for any component
    (:class:`~mixq_rl.agents.ppo.policy.AllocationPolicy`). There is no discount, and advantages come from returns.
    Evaluations are expensive, so they train a surrogate (:class:`~mixq_rl.agents.ppo.surrogate.Surrogate`), and PPO
    learns from model rollouts on the surrogate. The reward of a rollout comes from the evaluation of its allocation if
    that was made, and from the surrogate's prediction otherwise. The next allocations to evaluate are chosen among
    proposals of the policy and small changes to the best allocations (:func:`~mixq_rl.agents.ppo.acquisition.choose`).

    One policy can learn on several environments. Each episode belongs to one of them.

    Args:
        env: ``mixq_rl/BitAllocation-v0``, or several of them. Bit-widths on offer and numbers of components may differ.
        seed: seed of weights, exploration and preferences. The global random generators do not change.
        settings: settings of the agent; None: the defaults.
        reference_accuracy: accuracy of the hypervolume's reference point, such as the accuracy of the majority class:
            one number, or one for each environment.
        start: agent whose policy learned on other tasks. The allocations that this policy proposes are evaluated first.
            The policy that learns is a new one.

    Attributes:
        record: record of the tasks that the policy learned on, as far as they were added to it.

    Raises:
        InputError: for an environment of another kind, different observations or rewards, or a number of reference
            accuracies that is not the number of environments.

    Example:
        >>> agent = PPOAgent(env, seed=0)  # doctest: +SKIP
        >>> agent.learn(episodes=256).allocate(evaluator, preference=0.5)  # doctest: +SKIP
        (2, 4, 4, 2, 8, 4, 4, 2, 8)
    """

    record: PolicyRecord

    def __init__(
        self,
        env: gymnasium.Env[Any, Any] | Sequence[gymnasium.Env[Any, Any]],
        *,
        seed: int = 0,
        settings: PPOSettings | None = None,
        reference_accuracy: float | Sequence[float] = 0.0,
        start: "PPOAgent | None" = None,
    ) -> None:
        envs = environments(env)
        self._settings = settings = settings or PPOSettings()
        pairs = zip(envs, for_each(envs, reference_accuracy), strict=True)
        self._explorers = [Explorer(task, settings, accuracy, seed) for task, accuracy in pairs]
        self._observation = envs[0].rules.observation
        self._reward: Reward | None = envs[0].reward
        self._constraints = envs[0].rules.constraints if len(envs) == 1 else Constraints()
        self._random = np.random.default_rng(seed)
        self._bit_widths = sorted({bits for task in envs for bits in task.evaluator.bit_widths})
        self._global = RandomStream(seed)
        self._ppo: MaskablePPO | None
        with self._global.active():
            self._ppo = make_ppo(envs, [explorer.surrogate for explorer in self._explorers], settings, seed)
        self._ppo.set_logger(Logger(folder=None, output_formats=[]))
        assert isinstance(self._ppo.policy, AllocationPolicy)
        self._policy = self._ppo.policy
        self._start = None if start is None else start._policy
        self._left: dict[int, int] = {}
        self.record = PolicyRecord()
        if start is not None and start._observation is not self._observation:
            raise InputError("the policy to start from learned with another observation")

    def learn(
        self,
        episodes: int | None,
        *,
        watcher: Watcher | None = None,
        logger: Logger | None = None,
        checkpoint: Callable[[], None] | None = None,
    ) -> Self:
        """Learn from ``episodes`` more episodes of each task. Each episode evaluates a new allocation.

        A task without new allocations ends early.

        Args:
            episodes: number for each task, at least 1; None: those left from the state of :meth:`load_state_dict`.
            watcher: called with the evaluations of each batch.
            logger: logger of Stable-Baselines3 that PPO writes to; None: nothing is logged.
            checkpoint: called after each step of the search, after ``watcher``. It may call :meth:`state_dict`.

        Returns:
            The agent itself.

        Raises:
            InputError: for less than one episode, or for an agent that was loaded and has no environment.
        """
        if episodes is not None and episodes < 1:
            raise InputError(f"{episodes} episodes: at least 1 is needed")
        ppo = self._learning()
        if episodes is not None:
            self._left = dict.fromkeys(range(len(self._explorers)), episodes)
        if logger is not None:
            ppo.set_logger(logger)
        while self._left:
            # Active only during a step, so that the random stream is saved when a checkpoint is made.
            with self._global.active():
                batches = self._step()
            for evaluations in batches:
                if watcher is not None:
                    watcher(evaluations)
            if checkpoint is not None:
                checkpoint()
        return self

    def _step(self) -> list[list[Evaluation]]:
        """Evaluate the next batch of each task, learn from model rollouts on all tasks, and return the batches."""
        for policy in filter(None, (self._policy, self._start)):
            policy.offer(self._bit_widths)
        batches = []
        for index, most in list(self._left.items()):
            batches.append(self._explorers[index].explore(self._policy, most, self._start))
            self._left[index] -= len(batches[-1])
            if not batches[-1] or not self._left[index]:
                del self._left[index]
        if any(batches):
            last = self._settings.last_rollouts if self._settings.rollouts and not self._left else 0
            learn_from_rollouts(self._learning(), self._settings.rollouts + last)
        return [batch for batch in batches if batch]

    def state_dict(self) -> State:
        """Return the state of :meth:`learn`, for :class:`~mixq_rl.agents.records.checkpoints.Checkpoints`.

        The state does not contain evaluations. :meth:`load_state_dict` requests them from the evaluator again, which
        should have stored them (a :class:`~mixq_rl.Ledger` with a store has).

        Raises:
            InputError: for an agent that was loaded without an environment.
        """
        return {
            "ppo": ppo_state(self._learning()),
            "explorers": [explorer.state_dict() for explorer in self._explorers],
            "left": [list(entry) for entry in self._left.items()],
            "random": self._random.bit_generator.state,
            "global": self._global.state_dict(),
        }

    def load_state_dict(self, state: State) -> Self:
        """Restore the state that :meth:`state_dict` returned, in an agent made with the same arguments.

        ``learn(None)`` then completes the interrupted :meth:`learn`, with the same results as without interruption.

        Raises:
            InputError: for an agent that was loaded without an environment.
            ArtifactError: for the state of another agent.
        """
        ppo = self._learning()
        try:
            for explorer, own in zip(self._explorers, state["explorers"], strict=True):
                explorer.load_state_dict(own)
            load_ppo_state(ppo, state["ppo"])
            self._left = {int(index): int(left) for index, left in state["left"]}
            self._random.bit_generator.state = state["random"]
            self._global.load_state_dict(state["global"])
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise ArtifactError(f"the state is not one of this agent: {error}") from error
        return self

    def clone_best(self) -> Self:
        """Train the policy by behaviour cloning of the best allocations at each preference.

        This is the last step before the policy is used on other tasks; see
        :func:`~mixq_rl.agents.ppo.imitation.imitate`. Nothing is evaluated.

        Returns:
            The agent itself.

        Raises:
            InputError: if nothing has been evaluated yet.
        """
        if self._ppo is None or not all(explorer.surrogate.fitted for explorer in self._explorers):
            raise InputError("nothing to clone: the agent has not learned from any evaluation yet")
        self._policy.offer(self._bit_widths)
        with self._global.active():
            imitate(self._policy, self._explorers, self._random)
        return self

    def allocate(
        self,
        evaluator: Evaluator,
        preference: float = 0.5,
        *,
        reward: Reward | None = None,
        constraints: Constraints | None = None,
    ) -> tuple[int, ...]:
        """Return the most likely allocation of the policy, for any set of bit-widths and any constraints.

        Nothing is evaluated, except with a limit on bit operations: then the cost of bits is measured.

        Args:
            evaluator: defines the components and the bit-widths on offer.
            preference: weight of the saving in the trade-off, in [0, 1]; ignored by rewards with a fixed preference.
            reward: formula of the reward; None: the reward that the agent learned with, or the trade-off if the agent
                was loaded.
            constraints: constraints on the allocation; None: those that the agent learned with on its one environment.

        Raises:
            InputError: for a preference outside [0, 1], or constraints that no allocation keeps.
        """
        rules = self._rules(evaluator, reward, constraints)
        fixed = rules.reward.preference
        asked = check_preference(preference) if fixed is None else fixed
        return roll_out(self._policy, rules, np.array([asked]))[0]

    def sweep(
        self,
        evaluator: Evaluator,
        count: int = SWEEP,
        *,
        reward: Reward | None = None,
        constraints: Constraints | None = None,
    ) -> list[tuple[int, ...]]:
        """Return what :func:`~mixq_rl.agents.ppo.proposals.sweep` returns; arguments are those of :meth:`allocate`.

        If the reward has a fixed preference, all allocations are for that preference.
        """
        rules = self._rules(evaluator, reward, constraints)
        return sweep(self._policy, rules, count, preference=rules.reward.preference)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the policy and its record into the folder ``path`` as ``policy.safetensors`` and ``policy.json``.

        Raises:
            InputError: if the agent learned with a custom observation, which another program could not compute.
        """
        if self._observation is not LayerStatistics:
            raise InputError(
                "a policy that learned with an observation of your own can only be used where that is known"
            )
        save_policy(self._policy, Path(path), self.record)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Read the policy that :meth:`save` wrote, and return an agent.

        The agent can allocate, and other agents can start from it. It cannot learn.

        Raises:
            ArtifactError: if the policy is missing, damaged, of another kind or format version, or has other features.
        """
        agent = cls.__new__(cls)
        agent._policy, agent.record = load_policy(Path(path))
        agent._observation, agent._reward, agent._constraints = LayerStatistics, None, Constraints()
        agent._ppo, agent._start = None, None
        return agent

    def _learning(self) -> MaskablePPO:
        if self._ppo is None:
            raise InputError("this agent was loaded without an environment: it can allocate, but not learn")
        return self._ppo

    def _rules(self, evaluator: Evaluator, reward: Reward | None, constraints: Constraints | None) -> EpisodeRules:
        """Return the rules of the episodes that the policy plays on ``evaluator``."""
        rules = EpisodeRules(
            evaluator,
            reward=reward or self._reward,
            constraints=self._constraints if constraints is None else constraints,
            observation=self._observation,
        )
        self._policy.offer(rules.evaluator.bit_widths)
        return rules
