"""Names of files and folders that are not UTF-8, or that hold control characters."""

import json
import os
import sys
from pathlib import Path

import pytest

from tests.agents.cli.invoking import SMALL, Invoke

STRANGE = "g\x1b[31m\n\u202e" + os.fsdecode(b"\xff")
SHOWN = r"g\x1b[31m\n\u202e\xff"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems do not allow such names")


def is_clean(text: str) -> bool:
    return all(letter.isprintable() or letter in "\n\u00a0\u2009\u202f" for letter in text)


def accuracies(result: Path) -> list[tuple[str, float]]:
    return [(row["label"], row["test_accuracy"]) for row in json.loads(result.read_bytes())["finalists"]]


@pytest.mark.slow
def test_a_run_takes_them_and_is_resumed(invoke: Invoke) -> None:
    run, graph = Path(f"run {STRANGE}"), Path(f"{STRANGE}.npz")
    Path("graph.npz").rename(graph)
    ended = invoke("train", "--dataset", str(graph), *SMALL[2:], "--run-dir", str(run), "--cache", f"c{STRANGE}")
    assert (ended.code, ended.stderr) == (0, "")
    assert is_clean(ended.stdout)
    assert f"run folder: run {SHOWN}\n" in ended.stdout
    for name in ("log.txt", "report.html"):
        assert is_clean((run / name).read_text(encoding="utf-8"))
    assert json.loads((run / "result.json").read_bytes())["title"] == f"gcn on {SHOWN}.npz"
    measured = accuracies(run / "result.json")

    (run / "result.json").unlink()
    ended = invoke("train", "--resume", str(run), "--cache", f"c{STRANGE}", "--quiet")
    assert (ended.code, ended.stderr) == (0, "")
    assert accuracies(run / "result.json") == measured

    again = invoke("train", "--config", str(run / "config.json"), "--run-dir", "again", "--quiet")
    assert (again.code, again.stderr) == (0, "")

    for arguments in (
        ("runs", "."),
        ("report", str(run), "--output", f"{STRANGE}.html"),
        ("compare", str(run), "--figure", f"{STRANGE}.png"),
        ("export", str(run), "--output", f"model {STRANGE}"),
        ("predict", f"model {STRANGE}", "--dataset", str(graph), "--output", f"{STRANGE}.csv"),
    ):
        ended = invoke(*arguments)
        assert (ended.code, ended.stderr) == (0, ""), arguments
        assert SHOWN in ended.stdout
        assert is_clean(ended.stdout)


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "--dataset", f"{STRANGE}.npz"),
        ("train", "--resume", STRANGE),
        ("train", f"--{STRANGE}"),
        ("train", "--episodes", STRANGE),
        ("train", "--model", STRANGE),
        ("train", "--config", STRANGE),
        ("transfer", "--policy", STRANGE, "--dataset", "graph.npz"),
        ("search", "--algorithm", STRANGE),
        ("report", STRANGE),
        ("compare", STRANGE),
        ("export", STRANGE, "--output", "model"),
        ("predict", STRANGE),
        ("runs", STRANGE),
        (STRANGE,),
    ],
)
def test_errors_show_them_in_one_line(arguments: tuple[str, ...], invoke: Invoke) -> None:
    ended = invoke(*arguments)
    assert ended.code == 2
    assert ended.stderr.count("\n") == 1
    assert is_clean(ended.stderr + ended.stdout)
