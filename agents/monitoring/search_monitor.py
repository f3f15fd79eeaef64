"""Monitor of one search: writes to TensorBoard after each batch of evaluations."""

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from mixq_rl.agents.monitoring.figures import accuracy_figure, bits_figure
from mixq_rl.agents.monitoring.run_writer import RunWriter
from mixq_rl.agents.monitoring.texts import allocations_text
from mixq_rl.agents.monitoring.time_share import TimeShare
from mixq_rl.agents.pareto import ParetoArchive, spread
from mixq_rl.agents.report.pareto_points import ParetoPoints
from mixq_rl.agents.report.plots import pareto_figure
from mixq_rl.datasets.metrics import ACCURACY, Metric
from mixq_rl.envs import Reward
from mixq_rl.evaluation.ledger import Ledger
from mixq_rl.evaluation.protocol import Evaluation
from mixq_rl.metering import ComponentCost
from mixq_rl.training.loop import Progress

__all__ = ["SearchMonitor"]

_ENTRIES = 200
_ROUNDS = 10
_SHOWN_POINTS = 12
_PREFERENCE = 0.5

Rivals = Callable[[], Mapping[str, Sequence[Evaluation]]]
Costs = Callable[[Sequence[int]], Mapping[str, ComponentCost]]


class SearchMonitor:
    """Fills the Pareto archive and writes a search to TensorBoard; the step is the number of episodes.

    ``docs/tensorboard.md`` lists all tags. Scalars and histograms are written at most about 200 times in a search.
    Figures, the table of the best allocations and kernel times are due after each tenth of the episodes. They are
    skipped if they would take more than their share of the time (:class:`TimeShare`). :meth:`finish` writes the last
    ones.

    Args:
        evaluator: the search's evaluator.
        archive: the archive to fill.
        episodes: total number of the search.
        reward: of the search.
        writer: of the TensorBoard file.
        title: of the problem.
        metric: the measure of the problem's task.
        rivals: returns the evaluations of other searches of the problem, by name. None: there are no other searches.
        costs: returns the cost of each component at an allocation. None: costs are not shown.
        share: time limit for figures; several monitors may use the same object.
        progress: called with (episodes done, total episodes) after each batch.

    Attributes:
        archive, writer: as given.
        episodes: number of episodes done.
    """

    def __init__(
        self,
        evaluator: Ledger,
        archive: ParetoArchive,
        episodes: int,
        *,
        reward: Reward,
        writer: RunWriter,
        title: str = "",
        metric: Metric = ACCURACY,
        rivals: Rivals | None = None,
        costs: Costs | None = None,
        share: TimeShare | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.archive = archive
        self._evaluator = evaluator
        self._all = episodes
        self._reward = reward
        self.writer = writer
        self._title = title
        self._metric = metric
        self._rivals = rivals
        self._costs = costs
        self._share = share or TimeShare()
        self._progress = progress
        self._preference = _PREFERENCE if reward.preference is None else reward.preference
        self.episodes = 0
        self._rounds = 0
        self._shown = 0
        self._resumed = False
        self._archived = 0
        self._pending: list[Evaluation] = []
        self._best: tuple[float, Evaluation] | None = None
        self._since = (time.perf_counter(), 0)
        self._executed = -evaluator.made
        self._hits = -evaluator.hits

    def __call__(self, evaluations: Sequence[Evaluation]) -> None:
        """Add a batch of at least one evaluation."""
        self.episodes += len(evaluations)
        self._pending.extend(evaluations)
        self._fill_archive()
        best = max(evaluations, key=self._worth)
        if self._best is None or self._worth(best) > self._best[0]:
            self._best = (self._worth(best), best)
        rounds = self.episodes * _ROUNDS // self._all
        due = rounds > self._rounds and self.episodes < self._all
        self._rounds = rounds
        if due or len(self._pending) * _ENTRIES >= self._all:
            self._write(figures=self._resumed or (due and self._share.allows))
            self._resumed = False
        if self._progress is not None:
            self._progress(min(self.episodes, self._all), self._all)

    def finish(self, *, always: bool = True) -> None:
        """Write the last scalars, histograms and figures.

        Args:
            always: draw the figures even if they take more than their share of the time.
        """
        figures = self.episodes > self._shown and (always or self._share.allows)
        if figures or self._pending:
            self._write(figures=figures)

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint: numbers, strings, lists and dictionaries.

        ``"step"`` is the step that the next process's writer resumes from. The state does not contain evaluations.
        """
        return {
            "step": self.episodes,
            "rounds": self._rounds,
            "shown": self._shown,
            "pending": [list(evaluation.allocation) for evaluation in self._pending],
            "best": None if self._best is None else list(self._best[1].allocation),
            "written": self._since[1],
            "waited": time.perf_counter() - self._since[0],
            "executed": self._executed + self._evaluator.made,
            "hits": self._hits + self._evaluator.hits,
            "share": self._share.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state of :meth:`state_dict`.

        The evaluator must hold the same evaluations as then, in the same order: the archive and the figures are made
        from them.
        """
        known = self._evaluator.evaluations
        self.episodes, self._rounds, self._shown = state["step"], state["rounds"], state["shown"]
        self._pending = [known[tuple(allocation)] for allocation in state["pending"]]
        if state["best"] is not None:
            best = known[tuple(state["best"])]
            self._best = (self._worth(best), best)
        self._since = (time.perf_counter() - state["waited"], state["written"])
        self._executed = state["executed"] - self._evaluator.made
        self._hits = state["hits"] - self._evaluator.hits
        self._share.load_state_dict(state["share"])
        self._fill_archive()
        # TensorBoard's faster server ignores the step that a process resumes from. For each tag it drops entries at or
        # after the step of a new entry. Scalars are written again at the same steps. Figures may not be, because they
        # depend on the time: so they are drawn with the first entry.
        self._resumed = True

    def _worth(self, evaluation: Evaluation) -> float:
        return self._reward(evaluation, self._evaluator.reference, self._preference)

    def _fill_archive(self) -> None:
        """Add the evaluations since the last call, including the search's own probes."""
        evaluations = self._evaluator.evaluations
        self.archive.add(islice(evaluations.values(), self._archived, None))
        self._archived = len(evaluations)

    def _write(self, *, figures: bool) -> None:
        if self._pending:
            self._record_scalars()
            self._write_histograms()
            self._pending.clear()
        if figures:
            with self._share.spending():
                self._show()
            self._shown = self.episodes
        self.writer.logger.dump(self.episodes)

    def _record_scalars(self) -> None:
        batch, evaluator, objective = self._pending, self._evaluator, self._reward.objective
        assert self._best is not None
        record = self.writer.logger.record
        record("search/reward_mean", float(np.mean([self._worth(evaluation) for evaluation in batch])))
        record("search/reward_best", self._best[0])
        record(f"search/{self._metric.name}", float(np.mean([evaluation.accuracy for evaluation in batch])))
        if batch[0].estimate is not None:
            record(f"search/estimated_{self._metric.name}", float(np.mean([evaluation.merit for evaluation in batch])))
        record("search/reduction", float(np.mean([evaluation.reduction for evaluation in batch])))
        if objective.column is not None:
            savings = [objective.saving(evaluation, evaluator.reference) for evaluation in batch]
            record(f"search/{objective.column.saving_field}", float(np.mean(savings)))
        record("search/hypervolume", self.archive.hypervolume)
        now, count = time.perf_counter(), len(evaluator.evaluations)
        record("search/evaluations", count)
        record("search/evaluations_per_second", (count - self._since[1]) / max(now - self._since[0], 1e-9))
        record(
            "search/cache_hits",
            self._hits + evaluator.hits + count - (self._executed + evaluator.made),
        )
        self._since = (now, count)
        for index, component in enumerate(evaluator.components):
            record(f"bits/{component.name}", float(np.mean([e.allocation[index] for e in batch])))

    def _write_histograms(self) -> None:
        for index, component in enumerate(self._evaluator.components):
            chosen = [evaluation.allocation[index] for evaluation in self._pending]
            self.writer.histogram(
                f"bits_chosen/{component.name}", chosen, self._evaluator.bit_widths[-1], self.episodes
            )

    def _show(self) -> None:
        """Write the expensive entries: figures, the table of the best allocations, kernel times."""
        assert self._best is not None
        evaluator, step, reward = self._evaluator, self.episodes, self._reward
        evaluations, reference = list(evaluator.evaluations.values()), evaluator.reference
        names = [component.name for component in evaluator.components]
        title = f"{self._title} after {step} episodes".strip()
        rivals = {} if self._rivals is None else self._rivals()
        uniform = [(f"uniform {e.allocation[0]}", e) for e in evaluations if len(set(e.allocation)) == 1]
        points = ParetoPoints(
            evaluations, reference, objective=reward.objective, uniform=uniform, rivals=rivals, metric=self._metric
        )
        self.writer.figure("search/pareto", pareto_figure(points, title=title), step)
        self.writer.figure("search/bits", bits_figure(evaluations, names, evaluator.bit_widths, title=title), step)
        figure = accuracy_figure(evaluations, reference, title=title, metric=self._metric)
        self.writer.figure(f"search/{self._metric.name}_bitops", figure, step)
        _, best = self._best
        front = list(filter(reward.allows, self.archive.front))
        front = spread(front, _SHOWN_POINTS, self.archive.reference_accuracy, self.archive.saving)
        self.writer.text(
            "search/best_allocations",
            allocations_text(front, best, reference, names, reward=reward, metric=self._metric),
            step,
        )
        if self._costs is not None:
            for name, cost in self._costs(best.allocation).items():
                if cost.seconds:
                    self.writer.logger.record(f"kernel_time/{name}", 1e3 * cost.seconds)
