"""The tutorial's model in a file of its own: trained by its script, searched, exported and executed."""

import csv
import json
import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest

from tests.agents.cli.invoking import run

PAGE = (Path(__file__).parent.parent / "docs" / "tutorial.md").read_text()
FILES = dict(re.findall(r'```python title="([^"]+)"\n(.*?)```', PAGE, flags=re.DOTALL))
COMMANDS = [shlex.split(line) for line in "".join(re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL)).splitlines()]


@pytest.mark.slow
def test_a_model_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delenv("MIXQ_RL_CACHE", raising=False)
    for name in FILES:
        monkeypatch.delitem(sys.modules, name.removesuffix(".py"), raising=False)
        (tmp_path / name).write_text(FILES[name])
    assert [words[:2] for words in COMMANDS] == [
        ["python", "fit.py"],
        *(["mixq-rl", name] for name in ("train", "report", "export", "predict")),
    ]
    runpy.run_path("fit.py", run_name="__main__")
    reached = re.fullmatch(r"validation accuracy (\d\.\d{3})\n", capsys.readouterr().out)
    assert reached
    assert float(reached[1]) > 0.7
    for _, *arguments in COMMANDS[1:]:
        ended = run(*arguments, cwd=tmp_path)
        assert (ended.code, ended.stderr) == (0, "")
    result = json.loads(Path("runs/net/result.json").read_text())
    accuracies = {row["label"]: row["evaluation"]["accuracy"] for row in result["finalists"]}
    assert f"{accuracies['float32']:.3f}" == reached[1]
    assert accuracies["uniform 8"] > accuracies["float32"] - 0.02
    assert "net.py:Net on citation" in Path("runs/net/report.html").read_text()
    with Path("classes.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 2708
    test = re.search(r"test +(\d+\.\d+)", ended.stdout)
    assert test
    (best,) = [row for row in result["finalists"] if row["label"] == result["best"]]
    assert float(test[1]) == pytest.approx(100 * best["test_accuracy"], abs=0.01)
