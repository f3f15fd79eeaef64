"""The cost of TensorBoard: the share of a run's time that monitoring takes.

Executes ``mixq-rl train`` with its defaults twice on each dataset. The second time the trained networks come from the
cache, and the run is shorter. Then it executes ``mixq-rl search``. Each share is of the same run's time:

    python benchmarks/monitoring.py --data-root data --dataset citation --dataset Cora
"""

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from measuring import circumstances
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mixq_rl.agents import EvaluatorConfig, RunConfig, SearchPlan, run_searches, train
from mixq_rl.agents.monitoring import RunWriter, SearchMonitor
from mixq_rl.agents.runs import search as search_run
from mixq_rl.agents.runs import training as training_run
from mixq_rl.training.cache import PreparationCache

RESULTS = Path(__file__).parent / "results" / "monitoring.json"
ALGORITHMS = ("ppo", "random", "tpe", "greedy")


class Stopwatch:
    """Adds up the time inside the functions that it is put around; what one of them calls counts once."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._running = False

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **options: Any) -> Any:
            if self._running:
                return function(*arguments, **options)
            self._running, started = True, time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                self._running = False
                self.seconds += time.perf_counter() - started

        return timed


@contextmanager
def watching_timed() -> Iterator[Stopwatch]:
    """Put a stopwatch around all that serves TensorBoard."""
    stopwatch = Stopwatch()
    places: list[tuple[Any, str]] = [
        *((RunWriter, name) for name in ("__init__", "write", "figure", "text", "histogram", "describe", "close")),
        *((SearchMonitor, name) for name in ("__call__", "finish", "state_dict")),
        (training_run, "watch"),
        (training_run, "show_result"),
        (search_run, "watch"),
        (search_run, "end_session"),
    ]
    before = [(owner, name, getattr(owner, name)) for owner, name in places]
    for owner, name, function in before:
        setattr(owner, name, stopwatch.around(function))
    try:
        yield stopwatch
    finally:
        for owner, name, function in before:
            setattr(owner, name, function)


def main(
    dataset: Annotated[list[str], typer.Option(help="Repeatable.")],
    data_root: Annotated[str, typer.Option(envvar="MIXQ_RL_DATA")] = RunConfig.data_root,
    episodes: int = RunConfig.episodes,
) -> None:
    rows = []
    for name in dataset:
        with tempfile.TemporaryDirectory() as place:
            cache = PreparationCache(Path(place) / "prepared")
            for command in ("train", "train, prepared before", "search, prepared before"):
                folder = Path(place) / command
                with watching_timed() as stopwatch:
                    started = time.perf_counter()
                    if command.startswith("train"):
                        train(RunConfig(dataset=name, data_root=data_root, episodes=episodes), folder, cache=cache)
                    else:
                        problem = EvaluatorConfig(dataset=name, data_root=data_root)
                        run_searches(
                            problem, SearchPlan(algorithms=ALGORITHMS, evaluations=episodes), folder, cache=cache
                        )
                    seconds = time.perf_counter() - started
                row = {
                    "command": command,
                    "dataset": name,
                    "seconds": round(seconds, 1),
                    "watching_seconds": round(stopwatch.seconds, 2),
                    "share": round(stopwatch.seconds / seconds, 4),
                    **written(folder),
                }
                rows.append(row)
                print(json.dumps(row), flush=True)
    document = {"episodes": episodes, "searches": ALGORITHMS, "runs": rows, **circumstances("monitoring.py")}
    RESULTS.write_text(json.dumps(document, indent=2) + "\n")


def written(folder: Path) -> dict[str, int]:
    """Return how much a run has written: figures, scalars, bytes."""
    figures = scalars = size = 0
    for file in folder.rglob("events.out.tfevents.*"):
        size += file.stat().st_size
        events = EventAccumulator(str(file), size_guidance={"images": 0, "scalars": 0}).Reload()
        figures += sum(len(events.Images(tag)) for tag in events.Tags()["images"])
        scalars += sum(len(events.Scalars(tag)) for tag in events.Tags()["scalars"])
    return {"figures": figures, "scalars": scalars, "bytes": size}


if __name__ == "__main__":
    typer.run(main)
