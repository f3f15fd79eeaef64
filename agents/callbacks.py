"""Watching a search: TensorBoard and progress."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from stable_baselines3.common.logger import Figure as LoggedFigure
from stable_baselines3.common.logger import Logger

from mixq_rl.agents.pareto import ParetoArchive
from mixq_rl.agents.plots import pareto_figure
from mixq_rl.envs import Reward
from mixq_rl.evaluation import CachedEvaluator, Evaluation
from mixq_rl.objective import Objective

__all__ = ["SearchMonitor"]

_IMAGES = 10
_PREFERENCE = 0.5


class SearchMonitor:
    """Keeps the Pareto archive and logs the search after each batch of episodes; the step is the number of episodes.

    Tags: ``search/reward_mean``, ``search/reward_best`` (of the trade-off at preference 0.5), ``search/accuracy``,
    ``search/reduction`` (of the batch), ``search/hypervolume`` (of the archive), ``search/evaluations`` (distinct),
    ``search/evaluations_per_second``, ``bits/<component>`` (mean over the batch), ``search/pareto`` (image, ten times
    in a run), ``train/*`` (of PPO). With the objective latency also ``search/speed_up``.

    Args:
        evaluator: whose evaluations are watched.
        archive: is filled.
        episodes: in all.
        reward: what is wanted.
        logger: of Stable-Baselines3.
        progress: told (episodes done, episodes in all) after each batch.

    Attributes:
        episodes: done.
    """

    def __init__(
        self,
        evaluator: CachedEvaluator,
        archive: ParetoArchive,
        episodes: int,
        *,
        reward: Reward,
        logger: Logger,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self._evaluator = evaluator
        self._archive = archive
        self._all = episodes
        self._reward = reward
        self._logger = logger
        self._progress = progress
        self.episodes = 0
        self._images = 0
        self._best = -np.inf
        self._since = (time.perf_counter(), 0)

    def __call__(self, evaluations: Sequence[Evaluation]) -> None:
        """Take in a batch."""
        self.episodes += len(evaluations)
        self._archive.add(self._evaluator.evaluations.values())
        reference, objective = self._evaluator.reference, self._reward.objective
        preference = _PREFERENCE if self._reward.preference is None else self._reward.preference
        rewards = [self._reward(evaluation, reference, preference) for evaluation in evaluations]
        self._best = max(self._best, *rewards)
        record = self._logger.record
        record("search/reward_mean", float(np.mean(rewards)))
        record("search/reward_best", float(self._best))
        record("search/accuracy", float(np.mean([e.accuracy for e in evaluations])))
        record("search/reduction", float(np.mean([e.reduction for e in evaluations])))
        if objective is Objective.LATENCY:
            record("search/speed_up", float(np.mean([objective.saving(e, reference) for e in evaluations])))
        record("search/hypervolume", self._archive.hypervolume)
        now, count = time.perf_counter(), len(self._evaluator.evaluations)
        record("search/evaluations", count)
        record("search/evaluations_per_second", (count - self._since[1]) / max(now - self._since[0], 1e-9))
        self._since = (now, count)
        for index, component in enumerate(self._evaluator.components):
            record(f"bits/{component.name}", float(np.mean([e.allocation[index] for e in evaluations])))
        if self.episodes * _IMAGES >= self._all * (self._images + 1):
            self._images += 1
            figure = pareto_figure(
                self._evaluator.evaluations.values(),
                reference,
                objective=objective,
                title=f"after {self.episodes} episodes",
            )
            record("search/pareto", LoggedFigure(figure, close=False), exclude=("stdout", "log", "json", "csv"))
        self._logger.dump(self.episodes)
        if self._progress is not None:
            self._progress(min(self.episodes, self._all), self._all)

    def state_dict(self) -> dict[str, Any]:
        """Return what it knows beside the evaluations."""
        return {"episodes": self.episodes, "images": self._images, "best": self._best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where :meth:`state_dict` was, all evaluations until then made."""
        self.episodes, self._images, self._best = state["episodes"], state["images"], state["best"]
        self._archive.add(self._evaluator.evaluations.values())
        self._since = (time.perf_counter(), len(self._evaluator.evaluations))
