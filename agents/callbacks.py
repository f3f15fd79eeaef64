"""Watching a search: TensorBoard and progress."""

import time
from collections import deque
from collections.abc import Callable

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Figure as LoggedFigure

from mixq_rl.agents.pareto import ParetoArchive
from mixq_rl.agents.plots import pareto_figure
from mixq_rl.evaluation import CachedEvaluator, Evaluation
from mixq_rl.objective import Objective

__all__ = ["SearchMonitor"]

_IMAGES = 10


class SearchMonitor(BaseCallback):
    """Keeps the Pareto archive and logs the search after each rollout.

    Tags: ``search/reward_mean``, ``search/reward_best``, ``search/accuracy``, ``search/reduction`` (of the rollout's
    episodes), ``search/hypervolume`` (of the archive), ``search/evaluations`` (distinct), ``search/cache_hits``,
    ``search/evaluations_per_second``, ``bits/<component>`` (mean over the rollout), ``search/pareto`` (image, ten
    times in a run). With the objective latency also ``search/speed_up``.

    Args:
        evaluator: whose evaluations are watched.
        archive: is filled.
        episodes: in all.
        objective: says what the saving is.
        progress: told (episodes done, episodes in all) after each step that finished some.
    """

    def __init__(
        self,
        evaluator: CachedEvaluator,
        archive: ParetoArchive,
        episodes: int,
        *,
        objective: Objective = Objective.BITOPS,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        super().__init__()
        self._evaluator = evaluator
        self._archive = archive
        self._episodes = episodes
        self._objective = objective
        self._progress = progress
        self._done = 0
        self._images = 0
        self._best = -np.inf
        self._finished: deque[tuple[float, Evaluation]] = deque()
        self._since = (time.perf_counter(), 0)

    def _on_step(self) -> bool:
        for reward, info in zip(self.locals["rewards"], self.locals["infos"], strict=True):
            if "evaluation" in info:
                self._finished.append((float(reward), info["evaluation"]))
                self._done += 1
        if self._finished:
            self._archive.add(evaluation for _, evaluation in self._finished)
        if self._progress is not None:
            self._progress(min(self._done, self._episodes), self._episodes)
        return True

    def _on_rollout_end(self) -> None:
        self._log()

    def _on_training_end(self) -> None:
        self._log()
        self.logger.dump(self.num_timesteps)

    def _log(self) -> None:
        if not self._finished:
            return
        rewards = [reward for reward, _ in self._finished]
        evaluations = [evaluation for _, evaluation in self._finished]
        self._best = max(self._best, *rewards)
        record = self.logger.record
        record("search/reward_mean", float(np.mean(rewards)))
        record("search/reward_best", float(self._best))
        record("search/accuracy", float(np.mean([e.accuracy for e in evaluations])))
        record("search/reduction", float(np.mean([e.reduction for e in evaluations])))
        if self._objective is Objective.LATENCY:
            reference = self._evaluator.reference
            speed_ups = [self._objective.saving(e, reference) for e in evaluations]
            record("search/speed_up", float(np.mean(speed_ups)))
        record("search/hypervolume", self._archive.hypervolume)
        now, count = time.perf_counter(), len(self._evaluator.store)
        record("search/evaluations", count)
        record("search/cache_hits", self._evaluator.hits)
        record("search/evaluations_per_second", (count - self._since[1]) / max(now - self._since[0], 1e-9))
        self._since = (now, count)
        for index, component in enumerate(self._evaluator.components):
            record(f"bits/{component.name}", float(np.mean([e.allocation[index] for e in evaluations])))
        if self._done * _IMAGES >= self._episodes * (self._images + 1):
            self._images += 1
            figure = pareto_figure(
                self._evaluator.store.values(),
                self._evaluator.reference,
                objective=self._objective,
                title=f"after {self._done} episodes",
            )
            record("search/pareto", LoggedFigure(figure, close=False), exclude=("stdout", "log", "json", "csv"))
        self._finished.clear()
