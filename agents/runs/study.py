"""Study: many runs of ``mixq-rl train``, as tasks of Ray or one after another."""

from collections import deque
from collections.abc import Generator, Mapping, Sequence
from contextlib import chdir, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mixq_rl.agents.progress.interruption import Interrupted
from mixq_rl.agents.progress.log import logger
from mixq_rl.agents.quantities import percent, times
from mixq_rl.agents.records.evaluator_config import Stage, silent
from mixq_rl.agents.records.prepared_evaluator import prefixed
from mixq_rl.agents.records.result import RunResult
from mixq_rl.agents.records.run_config import RunConfig
from mixq_rl.agents.records.run_document import CONFIG
from mixq_rl.agents.records.study_folder import STUDY, StudyFolder, StudyRun
from mixq_rl.agents.records.workers_config import WorkersConfig
from mixq_rl.agents.report.study_table import StudyRow, study_csv, study_rows
from mixq_rl.agents.runs.training import resume_training, train
from mixq_rl.errors import EvaluationError, InputError
from mixq_rl.evaluation.ray_connection import ATTEMPTS, VERSIONS, RayConnection, listed, said
from mixq_rl.nn.model_file import names_file
from mixq_rl.printable import first_line
from mixq_rl.storage.files import replace_file
from mixq_rl.training.cache import PreparationCache

__all__ = ["StudyResult", "run_study"]

_PATIENCE = 0.5  # seconds until progress is reported again, which ends the study after Ctrl-C


@dataclass(frozen=True)
class StudyResult:
    """Result of a study.

    Attributes:
        runs: all runs.
        results: results of the runs that have ended, by name.
        failures: why the others have failed, in one line each, by name.
    """

    runs: Sequence[StudyRun]
    results: Mapping[str, RunResult]
    failures: Mapping[str, str]

    @property
    def rows(self) -> list[StudyRow]:
        """A row for each dataset and model of which a run has ended."""
        return study_rows([(run, self.results[run.name]) for run in self.runs if run.name in self.results])

    def document(self) -> dict[str, Any]:
        """Return the result in plain values."""
        return {"rows": [row.document() for row in self.rows], "runs": [self._described(run) for run in self.runs]}

    def _described(self, run: StudyRun) -> dict[str, Any]:
        config, result = run.config, self.results.get(run.name)
        state = "finished" if result else "failed" if run.name in self.failures else "waiting"
        found = {"run": run.name, "dataset": config.dataset, "model": config.network, "seed": config.seed}
        found |= {"fold": config.fold, "state": state, "error": self.failures.get(run.name)}
        if result is not None:
            found |= {
                "metric": result.metric.name,
                "float32_test": result.finalists[0].test_accuracy,
                "best": result.best.label,
                "test": result.best.test_accuracy,
                "reduction": result.best.evaluation.reduction,
            }
        return found


def run_study(
    runs: Sequence[StudyRun],
    path: Path,
    stage: Stage = silent,
    cache: PreparationCache | None = None,
    *,
    workers: WorkersConfig = WorkersConfig(),
) -> StudyResult:
    """Carry out all runs of a study that have not ended, and return the results of all.

    Each run has a folder of its own in that of the study, as :func:`~mixq_rl.agents.train` writes it. An interrupted
    run is resumed. A run that fails does not end the study. ``study.json`` and ``study.csv`` are written after each
    run.

    Args:
        runs: runs with different names.
        path: folder of the study, new, empty, or of the same study.
        stage: reports each long stage. An exception that it raises ends the study, which can be started again.
        cache: cache of prepared networks; None: everything is trained.
        workers: number and place of the processes of Ray that carry out the runs; without them this process carries
            out one after another.

    Raises:
        InputError: as in :meth:`~mixq_rl.agents.records.study_folder.StudyFolder.open`, or if Ray cannot be used.
        OSError: if the results cannot be written.
    """
    with StudyFolder.open(path, runs) as folder:
        results = {run.name: RunResult.load(folder.of(run) / "result.json") for run in runs if folder.ended(run)}
        failures: dict[str, str] = {}
        _write(folder, StudyResult(runs, results, failures))
        waiting = [run for run in runs if run.name not in results]
        if len(waiting) < len(runs):
            logger.info("%d of %d runs have ended before", len(runs) - len(waiting), len(runs))
        carried_out = (
            _by_workers(waiting, folder, stage, cache, workers)
            if workers.wanted
            else _one_by_one(waiting, folder, stage, cache)
        )
        with closing(carried_out):
            for run, failure in carried_out:
                if failure is None:
                    results[run.name] = RunResult.load(folder.of(run) / "result.json")
                    logger.info("%s: %s", run.name, _summary(results[run.name]))
                else:
                    failures[run.name] = failure
                    logger.info("%s has failed: %s", run.name, failure)
                _write(folder, StudyResult(runs, results, failures))
    return StudyResult(runs, results, failures)


def _write(folder: StudyFolder, result: StudyResult) -> None:
    replace_file(folder.path / "study.csv", study_csv(result.rows))
    folder.write(result.document())


def _summary(result: RunResult) -> str:
    best = result.best
    return (
        f"{percent(best.test_accuracy)} on test, float32 {percent(result.finalists[0].test_accuracy)}, "
        f"{times(best.evaluation.reduction)} fewer bit operations"
    )


def _one_by_one(
    runs: Sequence[StudyRun], folder: StudyFolder, stage: Stage, cache: PreparationCache | None
) -> Generator[tuple[StudyRun, str | None]]:
    """Carry out runs in this process, and yield each with the reason why it failed, if it did."""
    for number, run in enumerate(runs, start=1):
        logger.info("%s: run %d of %d", run.name, number, len(runs))
        yield run, _carried_out(run.config, folder.of(run), prefixed(stage, run.name), cache)


def _by_workers(
    runs: Sequence[StudyRun],
    folder: StudyFolder,
    stage: Stage,
    cache: PreparationCache | None,
    workers: WorkersConfig,
) -> Generator[tuple[StudyRun, str | None]]:
    """Carry out each run as a task of Ray, and yield it as :func:`_one_by_one` does. Ray repeats tasks that die."""
    if not runs:
        return
    gpus = any(torch.device(run.config.device).type == "cuda" for run in runs)
    place = folder.path.absolute(), Path.cwd(), None if cache is None else cache.path, torch.get_num_threads()
    with (
        RayConnection(workers.workers or None, address=workers.ray_address, gpus=gpus) as connection,
        stage("running the study", "runs") as progress,
    ):
        ray, waiting, running = connection.ray, deque(runs), dict[Any, StudyRun]()
        resources = {"num_cpus": 1, "num_gpus": connection.gpu_share}
        task = ray.remote(**resources, max_retries=ATTEMPTS - 1)(_task)
        try:
            while waiting or running:
                while waiting and len(running) < connection.count:
                    run = waiting.popleft()
                    running[task.remote(run, *place, VERSIONS)] = run
                for call in ray.wait(list(running), timeout=_PATIENCE)[0]:
                    run = running.pop(call)
                    try:
                        failure = ray.get(call)
                    except ray.exceptions.RayError as error:
                        failure = f"its worker died ({said(error)})"
                    yield run, failure
                progress(len(runs) - len(waiting) - len(running), len(runs))
        finally:
            for call in running:
                ray.cancel(call, force=True)


def _task(
    run: StudyRun, folder: Path, directory: Path, cache: Path | None, threads: int, versions: Mapping[str, str]
) -> str | None:
    """Carry out a run in a process of Ray; return as :func:`_carried_out` does.

    Args:
        run: the run.
        folder: folder of the study, absolute.
        directory: working directory of the command.
        cache: path of the cache of prepared networks, absolute or relative to ``directory``; None: there is none.
        threads: number of torch's threads.
        versions: versions that the command has.
    """
    if versions != VERSIONS:
        return f"its worker has {listed(VERSIONS)}, and the command {listed(dict(versions))}"
    if not (folder / STUDY).is_file():
        return f"its worker does not see the folder {str(folder)!r}: a cluster needs a file system that all nodes share"
    torch.set_num_threads(threads)
    with chdir(directory):
        return _carried_out(run.config, folder / run.name, silent, None if cache is None else PreparationCache(cache))


def _carried_out(config: RunConfig, run_dir: Path, stage: Stage, cache: PreparationCache | None) -> str | None:
    """Begin or resume a run, and return why it failed, in one line; None: it has ended."""
    files: dict[str, Any] = {"models": [config.model] if names_file(config.model) else []}
    try:
        if (run_dir / CONFIG).exists():
            resume_training(run_dir, stage, cache, data_root=config.data_root, **files)
        else:
            train(config, run_dir, stage, cache)
    except Interrupted:
        raise
    except (InputError, EvaluationError) as error:
        return first_line(error)
    except Exception as error:
        return f"{type(error).__name__}: {said(error)}"
    return None
