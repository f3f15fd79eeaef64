import math
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from mixq_rl import Ledger
from mixq_rl.agents import SearchProblem, hypervolume, run_search
from mixq_rl.agents.comparison import (
    compare_runs,
    comparison_figure,
    comparison_table,
    estimate,
    measures,
)
from mixq_rl.agents.records.evaluator_config import EvaluatorConfig
from mixq_rl.agents.records.folder import RunFolder
from mixq_rl.agents.records.trace import Trace, traces
from mixq_rl.errors import InputError
from mixq_rl.evaluation.store import EvaluationStore, EvaluatorDescription, fingerprint
from tests.lookup_table import LookupTable


def trace_of(name: str, seed: int, budget: int) -> Trace:
    evaluator = Ledger(LookupTable(), budget=budget)
    run_search(name, SearchProblem(evaluator, seed))
    problem = EvaluatorDescription.of(evaluator, "a table", 0.5)
    return Trace(name, seed, problem, tuple(evaluator.evaluations.values()))


@pytest.fixture(scope="module")
def found() -> list[Trace]:
    return [trace_of(name, seed, 40) for name in ("random", "greedy") for seed in range(3)]


def test_measures_are_those_of_the_first_evaluations(found: list[Trace]) -> None:
    trace = found[0]
    for count in (1, 7, 40):
        first = trace.evaluations[:count]
        values = measures(trace, count)
        assert values["hypervolume"] == hypervolume(first, 0.5)
        kept = [e.reduction for e in first if e.accuracy >= 0.8 - 0.003 - 1e-9]
        assert values["reduction within 0.3"] == max([1.0, *kept])
    steps = [trace.hypervolume(step) for step in range(1, 41)]
    assert trace.area(40) == pytest.approx(sum(steps) / 40)
    assert trace.area(80) == pytest.approx((sum(steps) + 40 * steps[-1]) / 80)


def test_a_drop_of_exactly_so_many_points_is_within() -> None:
    problem = EvaluatorDescription.of(LookupTable(), "a table")
    (evaluation,) = LookupTable().evaluate([(8, 8, 8, 8)])
    trace = Trace("ppo", 0, problem, (replace(evaluation, accuracy=0.8 - 0.003),))
    assert trace.best_reduction(1, 0.003) == evaluation.reduction
    assert trace.best_reduction(1, 0.002) == 1.0


def test_intervals_are_students() -> None:
    estimated = estimate([1.0, 2.0, 3.0])
    assert estimated.mean == 2
    assert estimated.half_width == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    assert estimated.text(2) == "2.00 ± 2.48"
    assert estimate([0.5]).text(1) == "0.5"


def test_table_has_a_row_for_each_search_at_each_budget(found: list[Trace]) -> None:
    console = Console(width=140)
    with console.capture() as capture:
        console.print(comparison_table(found, [8, 40, 4000]))
    text = capture.get()
    assert "a table: 4 components at 2, 4, 8 bits" in text
    assert text.count("random") == text.count("greedy") == 2
    assert "4000" not in text
    assert estimate([trace.hypervolume(8) for trace in found if trace.search == "random"]).text(4) in text
    figure = comparison_figure([found, found], best=lambda problem: 1.2)
    assert len(figure.axes) == 2
    assert {text.get_text() for text in figure.axes[0].get_legend().get_texts()} == {
        "greedy (3)",
        "random (3)",
        "true front",
    }


def test_runs_of_one_problem_come_together(tmp_path: Path) -> None:
    for folder, budgets in (("one", {"random": 6, "greedy": 5}), ("two", {"random": 9})):
        with RunFolder.create(tmp_path / folder, "search", EvaluatorConfig()) as made:
            store = EvaluationStore(made.evaluations)
        table = LookupTable()
        store.describe(fingerprint(table), EvaluatorDescription.of(table, "a table"))
        for name, budget in budgets.items():
            run_search(name, SearchProblem(Ledger(table, store=store, budget=budget, search=(name, 0))))
        assert {trace.search for trace in traces(store, fingerprint(table))} == set(budgets)
    (grouped,) = compare_runs([tmp_path / "one", tmp_path / "two"]).values()
    assert {trace.search: len(trace.evaluations) for trace in grouped} == {"random": 9, "greedy": 5}


def test_folders_without_searches_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no run folder"):
        compare_runs([tmp_path])
    with RunFolder.create(tmp_path, "search", EvaluatorConfig()) as made:
        with pytest.raises(InputError, match=r"holds no evaluations.sqlite"):
            compare_runs([tmp_path])
        EvaluationStore(made.evaluations)
    with pytest.raises(InputError, match="no search has asked for an evaluation"):
        compare_runs([tmp_path])
