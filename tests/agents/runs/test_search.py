import json
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from mixq_rl.agents import EvaluatorConfig, SearchPlan, run_searches
from mixq_rl.agents.allocation import pretrained
from mixq_rl.errors import InputError, UnknownNameError
from tests.agents.cli.invoking import PROGRAM, run, save_graph


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a search was carried out by the command line."""
    folder = tmp_path_factory.mktemp("searches")
    save_graph(folder / "graph.npz")
    return folder


def options(name: str, *more: str) -> list[str]:
    return ["search", "--dataset", "graph.npz", "--run-dir", name, *more]


def rows(folder: Path, table: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(folder / "evaluations.sqlite")) as connection:
        return connection.execute(f"SELECT * FROM {table} ORDER BY rowid").fetchall()  # noqa: S608


def test_searches_share_a_folder_and_are_compared(folder: Path) -> None:
    arguments = ["--algorithm", "random", "--algorithm", "greedy", "--seeds", "2", "--evaluations", "40"]
    text = run(*options("shared", *arguments), cwd=folder, check=True).stdout
    for part in ("random, seed 1", "9 components at 1, 2, 4, 8 bits", "within 0.3", "±", "run folder"):
        assert part in text
    # Greedy takes the same steps whatever its seed: nothing is evaluated twice.
    assert len(rows(folder / "shared", "requests")) == 4 * 40
    assert len(rows(folder / "shared", "evaluations")) < 130
    text = run("compare", "shared", "--budget", "16", cwd=folder, check=True).stdout
    assert "greedy" in text
    assert (folder / "shared" / "comparison.png").read_bytes().startswith(b"\x89PNG")


def test_a_killed_search_goes_on_with_nothing_lost_or_repeated(folder: Path) -> None:
    arguments = options("killed", "--algorithm", "random", "--evaluations", "1500")
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    store = folder / "killed" / "evaluations.sqlite"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if store.exists() and len(_kept(store)) > 20:
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = _kept(store)
    assert 20 < len(before) < 1500
    run(*arguments, cwd=folder, check=True)
    after = rows(folder / "killed", "evaluations")
    assert after[: len(before)] == before
    assert len(after) == len({row[1] for row in after}) == 1500
    run(*options("whole", "--algorithm", "random", "--evaluations", "1500"), cwd=folder, check=True)
    # The last columns are time, size and estimate.
    untimed = [(*row[:-3], *row[-2:]) for row in rows(folder / "whole", "evaluations")]
    assert untimed == [(*row[:-3], *row[-2:]) for row in after]
    assert rows(folder / "whole", "requests") == rows(folder / "killed", "requests")


def test_ppo_begins_with_the_policy_of_the_package_or_from_scratch(folder: Path) -> None:
    config = EvaluatorConfig(dataset=str(folder / "graph.npz"), evaluator="post-training")
    for from_scratch in (False, True):
        plan = SearchPlan(algorithms=("ppo",), evaluations=20, from_scratch=from_scratch)
        found = {trace.search: trace for trace in run_searches(config, plan, folder / "started")}
    assert set(found) == {"ppo", "ppo, from scratch"}
    proposed = pretrained().sweep(config.prepare(*config.load()))
    asked = {search: [evaluation.allocation for evaluation in trace.evaluations] for search, trace in found.items()}
    assert asked["ppo"][: len(proposed)] == proposed
    assert not set(proposed) <= set(asked["ppo, from scratch"])


def _kept(store: Path) -> list[tuple[object, ...]]:
    try:
        return rows(store.parent, "evaluations")
    except sqlite3.Error:
        return []


def test_a_folder_of_something_else_is_left_alone(folder: Path) -> None:
    config = EvaluatorConfig(dataset=str(folder / "graph.npz"), evaluator="post-training")
    plan = SearchPlan(algorithms=("uniform",))
    run_searches(config, plan, folder / "mine")
    run_searches(EvaluatorConfig(**{**vars(config), "data_root": "elsewhere"}), plan, folder / "mine")
    for change, message in (
        ({"model": "sage"}, "has model 'gcn', not 'sage'"),
        ({"bits": (4, 8)}, r"has bits \[1, 2, 4, 8\], not \[4, 8\]"),
    ):
        other = EvaluatorConfig(**{**vars(config), **change})
        with pytest.raises(InputError, match=message):
            run_searches(other, plan, folder / "mine")
    document = json.loads((folder / "mine" / "config.json").read_text())
    (folder / "mine" / "config.json").write_text(json.dumps({**document, "format": "mixq_rl/run"}))
    with pytest.raises(InputError, match="is of a 'mixq_rl/run'"):
        run_searches(config, plan, folder / "mine")
    (folder / "mine" / "config.json").write_text("{}")
    with pytest.raises(InputError, match="is not of a run"):
        run_searches(config, plan, folder / "mine")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["search", "--algorithm", "tep"], "unknown algorithm 'tep': known are ppo,"),
        (["search", "--evaluations", "0"], "a budget of 0 evaluations: at least 1 is needed"),
        (["search", "--seeds", "0"], "0 seeds: at least 1 is needed"),
        (["compare", "."], "'.' is no run folder: 'config.json' is missing"),
        (["compare", ".", "--budget", "0"], "a budget of 0 evaluations: at least 1 is needed"),
        (["compare"], "Missing argument"),
    ],
)
def test_nonsense_is_answered_with_one_line(arguments: list[str], message: str, tmp_path: Path) -> None:
    result = run(*arguments, cwd=tmp_path)
    assert result.code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_plans_out_of_bounds_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="unknown algorithm"):
        SearchPlan(algorithms=("ppo", "pso"))
