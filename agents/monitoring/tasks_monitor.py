"""Watching a policy that learns on several tasks."""

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
from mixq_rl.agents.records.stored_problem import StoredProblem
from mixq_rl.envs import TradeOff
from mixq_rl.evaluation.ledger import Ledger
from mixq_rl.evaluation.protocol import Evaluation
from mixq_rl.training.loop import Progress

__all__ = ["TasksMonitor"]


class TasksMonitor:
    """Keeps who asked for what on each task, and watches each in a folder of its own, ``tasks/<number>-<title>``.

    In the run's folder are PPO's scalars and ``tasks/<title>/hypervolume``; there the step counts the episodes of all
    tasks. The writers are open inside a ``with`` block.

    Args:
        folder: of the run.
        problems: the tasks.
        settings: what each was given, by name.
        search: its name in the store.
        seed: of the search.
        episodes: of each task.
        step: of the checkpoint that the search goes on from, as of :class:`RunWriter`.
        state: what :meth:`load_state_dict` will be given then; None: the search begins.
        share: of the time, for figures.
        progress: told (episodes done, episodes in all), of all tasks.

    Attributes:
        evaluators: of the tasks, for the agent; what they are asked is watched.
        writer: of the run's folder.
    """

    def __init__(
        self,
        folder: Path,
        problems: Sequence[StoredProblem],
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
        self._all, self._progress = episodes * len(problems), progress
        self._begun = state is None
        self.writer = RunWriter(folder, step=step)
        self.evaluators: list[Ledger] = []
        self._monitors: list[SearchMonitor] = []
        for index, (problem, given) in enumerate(zip(problems, settings, strict=True)):
            evaluator = problem.ledger(search=(search, seed))
            evaluator.watch(on_request=partial(self._take_in, index, problem), on_evaluation=self._tick)
            reached = 0 if state is None else state["tasks"][index]["step"]
            monitor = watch(
                problem,
                evaluator,
                writer=RunWriter(folder / "tasks" / _folder_name(index + 1, problem.title), step=reached),
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
        """Write what was recorded in the run's folder, once all tasks' batches are in and PPO has learned from them."""
        self.writer.logger.dump(self.episodes)

    @property
    def episodes(self) -> int:
        """Done, of all tasks."""
        return sum(monitor.episodes for monitor in self._monitors)

    def _tick(self, evaluation: Evaluation) -> None:
        """Report progress after each evaluation, where a run can be ended."""
        self._progress(self.episodes, self._all)

    def finish(self) -> None:
        """Write what is left to be written at the end."""
        for monitor in self._monitors:
            monitor.finish()
            end_session(monitor.writer)

    def state_dict(self) -> dict[str, Any]:
        """Return what has to be known to go on in another process."""
        return {"tasks": [monitor.state_dict() for monitor in self._monitors]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where :meth:`state_dict` was called, the evaluators asked again for what they had been asked for."""
        for monitor, own in zip(self._monitors, state["tasks"], strict=True):
            monitor.load_state_dict(own)
        self._begun = True

    def _take_in(self, index: int, problem: StoredProblem, made: Sequence[Evaluation]) -> None:
        if not self._begun:  # these were taken in before the checkpoint
            return
        monitor = self._monitors[index]
        monitor(made)
        self.writer.logger.record(f"tasks/{problem.title}/hypervolume", monitor.archive.hypervolume)
        self._progress(self.episodes, self._all)


def _folder_name(number: int, title: str) -> str:
    plain = re.sub(r"[^\w.,-]+", "-", title)
    return f"{number}-{plain}"
