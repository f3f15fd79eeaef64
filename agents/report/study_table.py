"""Results of a study: means and standard deviations over seeds and folds, for the screen, as CSV and as JSON."""

import csv
import io
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from mixq_rl.agents.records.result import RunResult
from mixq_rl.agents.records.study_folder import StudyRun
from mixq_rl.datasets.metrics import metrics
from mixq_rl.printable import printable

__all__ = ["Spread", "StudyRow", "study_csv", "study_rows", "study_table"]

_MEASURES = {"float32_test": "float32", "test": "chosen", "change": "change", "reduction": "reduction"}
_PLUS_MINUS = "\N{PLUS-MINUS SIGN}"


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation of a measure.

    Attributes:
        mean: mean.
        deviation: standard deviation of a sample, with n - 1; None for a single run.
    """

    mean: float
    deviation: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Return mean and standard deviation of at least one value."""
        return cls(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)

    def text(self, scale: float = 1.0, sign: str = "") -> str:
        """Return ``mean ± deviation``, multiplied by a scale."""
        mean = f"{scale * self.mean:{sign}.1f}"
        return mean if self.deviation is None else f"{mean} {_PLUS_MINUS} {scale * self.deviation:.1f}"


@dataclass(frozen=True)
class StudyRow:
    """Results of one model on one dataset.

    Attributes:
        dataset: name of the dataset.
        model: name of the model.
        runs: number of runs that have ended.
        metric: name of the metric.
        float32_test: metric of the float32 network on the test split, in [0, 1].
        test: metric of the chosen network on the test split, in [0, 1].
        change: difference of the two in each run, in [-1, 1].
        reduction: bit operations of float32 over those of the chosen network, convention ``linear``.
    """

    dataset: str
    model: str
    runs: int
    metric: str
    float32_test: Spread
    test: Spread
    change: Spread
    reduction: Spread

    @classmethod
    def of(cls, dataset: str, model: str, results: Sequence[RunResult]) -> "StudyRow":
        """Return the row of at least one result."""
        float32 = [result.finalists[0].test_accuracy for result in results]
        chosen = [result.best.test_accuracy for result in results]
        return cls(
            dataset,
            model,
            len(results),
            results[0].metric.name,
            Spread.of(float32),
            Spread.of(chosen),
            Spread.of([after - before for before, after in zip(float32, chosen, strict=True)]),
            Spread.of([result.best.evaluation.reduction for result in results]),
        )

    def document(self) -> dict[str, Any]:
        """Return the row in plain values."""
        return asdict(self)


def study_rows(ended: Sequence[tuple[StudyRun, RunResult]]) -> list[StudyRow]:
    """Return a row for each dataset and model, in the order of the runs."""
    grouped: dict[tuple[str, str], list[RunResult]] = {}
    for run, result in ended:
        grouped.setdefault((run.config.dataset, run.config.network), []).append(result)
    return [StudyRow.of(dataset, model, results) for (dataset, model), results in grouped.items()]


def study_table(rows: Sequence[StudyRow]) -> Table:
    """Return the table for the screen."""
    table = Table(
        title="test metric in % of float32 and of the chosen networks, change in points,\n"
        f"reduction in bit operations: mean {_PLUS_MINUS} standard deviation over the runs",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("dataset", overflow="fold")
    table.add_column("model", overflow="fold")
    table.add_column("runs", justify="right", no_wrap=True)
    table.add_column("metric", no_wrap=True)
    for heading in _MEASURES.values():
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            escape(printable(row.dataset)),
            escape(printable(row.model)),
            str(row.runs),
            metrics[row.metric].title,
            row.float32_test.text(100),
            row.test.text(100),
            row.change.text(100, sign="+"),
            row.reduction.text(),
        )
    return table


def study_csv(rows: Sequence[StudyRow]) -> str:
    """Return the table as CSV: means and standard deviations in columns of their own, the metric in [0, 1]."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    measured = [f"{name}_{part}" for name in _MEASURES for part in ("mean", "deviation")]
    writer.writerow(["dataset", "model", "runs", "metric", *measured])
    for row in rows:
        spreads = [row.float32_test, row.test, row.change, row.reduction]
        numbers = [number for spread in spreads for number in (spread.mean, spread.deviation)]
        writer.writerow([row.dataset, row.model, row.runs, row.metric, *numbers])
    return text.getvalue()
