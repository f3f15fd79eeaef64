import json
from pathlib import Path

from mixq_rl.agents.records.folder import RunFolder
from tests.agents.cli.invoking import SMALL, Invoke


def test_lists_runs_with_their_best_points_and_how_far_they_are(invoke: Invoke, small_run: Path) -> None:
    small_run.rename("runs/one")
    document = json.loads(Path("runs/one/config.json").read_text())
    for name in ("stopped", "newer"):
        Path("runs", name).mkdir()
        changed = {**document, "version": 99} if name == "newer" else document
        Path("runs", name, "config.json").write_text(json.dumps(changed))
    with RunFolder.open(Path("runs/stopped"), "run"):
        running = json.loads(invoke("runs", "--json").stdout)["runs"]
    assert [(run["run_dir"], run["state"]) for run in running] == [
        ("runs/one", "finished"),
        ("runs/stopped", "running"),
    ]
    stopped = json.loads(invoke("runs", "runs/stopped", "--json").stdout)["runs"]
    assert [run["state"] for run in stopped] == ["stopped"]
    shown = invoke("runs").stdout
    assert "runs/one" in shown
    assert f"{running[0]['reduction']:.1f}×" in shown
    assert f"{100 * running[0]['test_accuracy']:.1f}" in shown


def test_no_runs_are_said_to_be_none(invoke: Invoke) -> None:
    Path("runs").mkdir()
    assert "no runs in runs: begin one with mixq-rl train" in invoke("runs").stdout
    ended = invoke("runs", "elsewhere")
    assert ended.code == 2
    assert "'elsewhere' is no folder of runs" in ended.stderr


def test_a_search_has_ended_when_all_its_searches_have(invoke: Invoke) -> None:
    options = ("search", *SMALL[:2], *SMALL[4:], "--algorithm", "random", "--run-dir", "runs/one", "--quiet")
    assert invoke(*options, "--evaluations", "4", "--json").code == 0
    (found,) = json.loads(invoke("runs", "--json").stdout)["runs"]
    assert (found["kind"], found["state"]) == ("search", "finished")
    (row,) = json.loads(Path("runs/one/result.json").read_text())
    assert (row["search"], row["evaluations"]) == ("random", 4)
