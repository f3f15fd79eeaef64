"""A run folder or a file of options that names code: it is executed only if the user names it."""

import json
from pathlib import Path

import pytest
import torch

from tests.agents.cli.invoking import SMALL, Invoke
from tests.hostile.test_run_folders import COMMANDS

READERS = [COMMANDS[name] for name in ("resume", "report", "compare", "predict", "export")]
EVIL = """
from pathlib import Path

Path("executed").touch()
"""


@pytest.fixture
def evil(invoke: Invoke, small_run: Path) -> Path:
    """A run folder whose configuration names code, in the run folder and outside, and weights."""
    (small_run / "evil.py").write_text(EVIL)
    Path("evil.py").write_text(EVIL)
    torch.save({}, "evil.pt")
    return small_run


def name_files(run: Path, model: object, weights: object = None) -> None:
    document = json.loads((run / "config.json").read_text())
    document["config"] |= {"model": model, "weights": weights, "num_layers": None, "hidden_channels": None}
    (run / "config.json").write_text(json.dumps(document))


@pytest.mark.parametrize("model", ["evil.py:make", "run/evil.py:make", "{folder}/evil.py:make", "../evil.py:make"])
def test_code_that_only_a_run_folder_names_is_not_executed(
    invoke: Invoke, evil: Path, tmp_path: Path, model: str
) -> None:
    name_files(evil, model.format(folder=tmp_path), "evil.pt")
    for finished in (True, False):
        if not finished:
            (evil / "result.json").unlink()
        for arguments in READERS:
            ended = invoke(*arguments)
            assert len(ended.stderr.splitlines()) <= 1, ended
    ended = invoke("train", "--resume", "run")
    assert ended.code == 2
    assert "'run' names a model whose code you did not name: to use what it names, add --model " in ended.stderr
    assert not Path("executed").exists()


def test_weights_that_only_a_run_folder_names_are_not_read(invoke: Invoke, evil: Path) -> None:
    (evil / "result.json").unlink()
    name_files(evil, "gcn", "evil.pt")
    ended = invoke("train", "--resume", "run")
    assert (ended.code, len(ended.stderr.splitlines())) == (2, 1)
    assert "'run' names weights that you did not name: to use what it names, add --weights evil.pt" in ended.stderr


@pytest.mark.parametrize("name", ["run/config.json", "options.json"])
def test_code_that_only_a_file_of_options_names_is_not_executed(invoke: Invoke, evil: Path, name: str) -> None:
    name_files(evil, "evil.py:make", "evil.pt")
    Path("options.json").write_text(json.dumps({"model": ["gcn", "evil.py:make"]}))
    ended = invoke("train", *SMALL[:2], "--config", name, "--run-dir", "new")
    assert (ended.code, len(ended.stderr.splitlines())) == (2, 1), ended
    assert f"'{name}' names a model whose code you did not name" in ended.stderr
    assert not Path("executed").exists()
    assert not Path("new").exists()


@pytest.mark.parametrize("value", [5, ["evil.py:make"], {"a": 1}, True, "", ":", "x\x1b[2J.py:make", "a\nb.py:c"])
def test_names_that_are_none(invoke: Invoke, evil: Path, value: object) -> None:
    for model, weights in ((value, None), ("evil.py:make", value)):
        name_files(evil, model, weights)
        for arguments in READERS:
            ended = invoke(*arguments)
            assert len(ended.stderr.splitlines()) <= 1, ended
            assert not {"\x1b"} & set(ended.stdout + ended.stderr)
    assert not Path("executed").exists()
    assert "\x1b" not in (evil / "report.html").read_text()
