"""Monitor of a policy that is trained on several tasks."""

import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any, Self

from mixq_rl.agents.monitoring.hyperparameters import end_session
from mixq_rl.agents.monitoring.run_writer import RunWriter
from mixq_rl.agents.monitoring.search_monitor import SearchMonitor
from mixq_rl.agents.monitoring.time_share import TimeShare
from mixq_rl.agents.monitoring.watching import watch
from mixq_rl.agents.records.prepared_evaluator import PreparedEvaluator
from mixq_rl.envs import TradeOff
from mixq_rl.evaluation.ledger import Ledger
from mixq_rl.evaluation.protocol import Evaluation
from mixq_rl.training.loop import Progress

__all__ = ["TasksMonitor"]


class TasksMonitor:
    """Records the requests of the search on each task, and monitors each task in its folder ``tasks/<number>-<title>``.

    The run's folder has PPO's scalars and ``tasks/<title>/hypervolume``. The step there counts the episodes of all
    tasks. The writers are open inside a ``with`` block.

    Args:
        folder: of the run.
        all_prepared: the tasks.
        settings: settings of each task, by name.
        search: name of the search in the store.
        seed: of the search.
        episodes: number for each task.
        step: of the checkpoint that the search resumes from, as for :class:`RunWriter`.
        state: state of the checkpoint, which :meth:`load_state_dict` will be called with. None: the search begins.
        share: time limit for figures.
        progress: called with (episodes done, total episodes) of all tasks.

    Attributes:
        evaluators: of the tasks, for the agent; their evaluations are monitored.
        writer: of the run's folder.
    """

    def __init__(
        self,
        folder: Path,
        all_prepared: Sequence[PreparedEvaluator],
        settings: Sequence[Mapping[str, object]],
        *,
        search: str,
        seed: int,
        episodes: int,
        step: int,
        state: Mapping[str, Any] | None,
        share: TimeShare,
        progress: Progress,
    ) -> None:
        self._all, self._progress = episodes * len(all_prepared), progress
        self._begun = state is None
        self.writer = RunWriter(folder, step=step)
        self.evaluators: list[Ledger] = []
        self._monitors: list[SearchMonitor] = []
        for index, (prepared, given) in enumerate(zip(all_prepared, settings, strict=True)):
            evaluator = prepared.ledger(search=(search, seed))
            evaluator.watch(on_request=partial(self._take_in, index, prepared), on_evaluation=self._tick)
            reached = 0 if state is None else state["tasks"][index]["step"]
            monitor = watch(
                prepared,
                evaluator,
                writer=RunWriter(folder / "tasks" / _folder_name(index + 1, prepared.title), step=reached),
                search=search,
                seed=seed,
                episodes=episodes,
                reward=TradeOff(),
                settings=given,
                share=share,
            )
            self.evaluators.append(evaluator)
            self._monitors.append(monitor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with ExitStack() as stack:
            for writer in (self.writer, *(monitor.writer for monitor in self._monitors)):
                stack.enter_context(closing(writer))

    def __call__(self, evaluations: Sequence[Evaluation]) -> None:
        """Write the scalars of the run's folder, after PPO has learned from the batches of all tasks."""
        self.writer.logger.dump(self.episodes)

    @property
    def episodes(self) -> int:
        """Number of episodes done, of all tasks."""
        return sum(monitor.episodes for monitor in self._monitors)

    def _tick(self, evaluation: Evaluation) -> None:
        """Report progress after one evaluation, so that the run can be interrupted between two evaluations."""
        self._progress(self.episodes, self._all)

    def finish(self) -> None:
        """Write the last entries of all tasks."""
        for monitor in self._monitors:
            monitor.finish()
            end_session(monitor.writer)

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return {"tasks": [monitor.state_dict() for monitor in self._monitors]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state of :meth:`state_dict`; the evaluators must hold the same evaluations as then."""
        for monitor, own in zip(self._monitors, state["tasks"], strict=True):
            monitor.load_state_dict(own)
        self._begun = True

    def _take_in(self, index: int, prepared: PreparedEvaluator, made: Sequence[Evaluation]) -> None:
        if not self._begun:  # these evaluations were counted before the checkpoint
            return
        monitor = self._monitors[index]
        monitor(made)
        self.writer.logger.record(f"tasks/{prepared.title}/hypervolume", monitor.archive.hypervolume)
        self._progress(self.episodes, self._all)


def _folder_name(number: int, title: str) -> str:
    plain = re.sub(r"[^\w.,-]+", "-", title)
    return f"{number}-{plain}"
