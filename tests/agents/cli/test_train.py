"""``mixq-rl train`` as people and programs use it; ``test_results.py`` has what it finds."""

import csv
import errno
import json
import os
import re
import shutil
from pathlib import Path

import pytest
import torch

from mixq_rl.agents import RunResult
from mixq_rl.agents.records.folder import RunFolder
from tests.agents.cli.invoking import SMALL, Invoke

without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")


def test_prints_lines_where_there_is_no_terminal(invoke: Invoke) -> None:
    ended = invoke("train", *SMALL, "--run-dir", "run")
    assert ended.code == 0
    assert ended.stderr == ""
    assert "run folder: run\nto watch the search: " in ended.stdout
    assert ended.stdout.startswith("graph.npz: ")  # what is to be known of the data
    for line in ("training in float32: 200/200 epochs in ", "searching: 4/4 episodes in ", "uniform 4", "★"):
        assert line in ended.stdout
    assert "\x1b" not in ended.stdout
    assert "━" not in ended.stdout.split("★")[0].split("network")[0], "no bars"
    assert "searching: 4/4 episodes in " in Path("run/log.txt").read_text()


def test_quiet_prints_nothing(invoke: Invoke) -> None:
    ended = invoke("train", *SMALL, "--run-dir", "run", "--quiet")
    assert (ended.code, ended.stdout, ended.stderr) == (0, "", "")
    assert Path("run/allocations.csv").exists()


def test_json_is_one_line_of_what_the_run_found(invoke: Invoke) -> None:
    ended = invoke("train", *SMALL, "--run-dir", "run", "--json")
    assert ended.code == 0
    assert len(ended.stdout.splitlines()) == 1
    printed = json.loads(ended.stdout)
    result = RunResult.load(Path("run/result.json"))
    assert printed["run_dir"] == "run"
    assert printed["best"] == result.best.label
    with Path("run/allocations.csv").open() as file:
        (best,) = [row for row in csv.DictReader(file) if row["best"] == "1"]
    (row,) = [row for row in printed["finalists"] if row["label"] == printed["best"]]
    assert row["test_accuracy"] == float(best["test_accuracy"])
    assert sum(share["bitops"] for share in printed["shares"]) == pytest.approx(float(best["bitops"]))
    assert "searching" in ended.stderr
    assert invoke("train", "--resume", "run", "--json", "--quiet").stdout == ended.stdout


def test_options_come_from_a_file_and_are_overridden(invoke: Invoke) -> None:
    assert invoke("train", *SMALL, "--seed", "3", "--run-dir", "run", "--quiet").code == 0
    assert invoke("train", "--config", "run/config.json", "--run-dir", "again", "--quiet").code == 0
    assert Path("run/allocations.csv").read_bytes() == Path("again/allocations.csv").read_bytes()
    assert RunFolder.read(Path("again")).config == RunFolder.read(Path("run")).config
    assert (
        invoke("train", "--config", "run/config.json", "--seed", "4", "--bits", "4,8", "--run-dir", "other").code == 0
    )
    changed = RunFolder.read(Path("other")).config
    assert changed == {**RunFolder.read(Path("run")).config, "seed": 4, "bits": [4, 8]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "configuration 'run.json' cannot be read: No such file or directory"),
        ("{", "configuration 'run.json' is not JSON"),
        ("[]", "configuration 'run.json' is not a JSON object of options"),
        ('{"flavour": 1}', "configuration 'run.json' names 'flavour', which train does not know"),
        ('{"episodes": "many"}', "Invalid value for '--episodes'"),
        ('{"model": "gcm"}', "unknown model 'gcm'"),
        ('{"config": {"tasks": []}}', "is of a run on several tasks"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_answered_with_one_line(
    invoke: Invoke, text: str | None, message: str
) -> None:
    if text is not None:
        Path("run.json").write_text(text)
    ended = invoke("train", "--config", "run.json")
    assert ended.code == 2
    assert message in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_help_has_examples_and_completion_is_offered(invoke: Invoke) -> None:
    shown = invoke("train", "--help")
    assert shown.code == 0
    assert shown.stdout.count("Example: mixq-rl train") == 3
    assert "--install-completion" in invoke("--help").stdout


def test_a_run_does_without_a_cache_that_it_cannot_fill(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("mixq_rl.training.cache.save_artifact", full)
    ended = invoke("train", *SMALL, "--run-dir", "run", "--cache", "small", "--quiet")
    assert ended.code == 0
    (line,) = ended.stderr.splitlines()
    assert line.startswith("mixq-rl: the cache folder small cannot be written: No space left on device; ")


def test_a_folder_that_holds_a_run_says_how_to_go_on_with_it(invoke: Invoke, small_run: Path) -> None:
    small_run.rename("one run")
    ended = invoke("train", *SMALL, "--run-dir", "one run")
    assert ended.code == 2
    assert ended.stderr.rstrip().endswith("or resume it: mixq-rl train --resume 'one run'")
    search = ("search", *SMALL[:2], *SMALL[4:], "--evaluations", "4", "--run-dir", "searched", "--quiet")
    assert invoke(*search).code == 0
    ended = invoke("train", *SMALL, "--run-dir", "searched")
    assert ended.code == 2
    assert "--resume" not in ended.stderr


def test_files_of_options_with_lists(invoke: Invoke) -> None:
    shutil.copy("graph.npz", "other.npz")
    options = {"dataset": ["graph.npz", "other.npz"], "episodes": 4, "layers": [1], "hidden_channels": 8, "json": True}
    options |= {"bits": [2, 4], "evaluator": "post-training"}
    Path("options.json").write_text(json.dumps(options))
    ended = invoke("train", "--config", "options.json", "--run-dir", "policy", "--quiet")
    assert (ended.code, ended.stderr) == (0, "")
    assert [task["task"] for task in json.loads(ended.stdout)["tasks"]] == [
        "gcn on graph.npz bits 2,4 num layers 1 hidden channels 8 evaluator post-training",
        "gcn on other.npz bits 2,4 num layers 1 hidden channels 8 evaluator post-training",
    ]


def test_a_policy_that_a_file_of_options_names_is_named_again(invoke: Invoke) -> None:
    options = [*SMALL[:2], *SMALL[4:], "--episodes", "4", "--quiet"]
    assert invoke("train", *options, "--run-dir", "first").code == 0
    assert invoke("train", "--config", "first/config.json", "--run-dir", "again", "--quiet").code == 0
    assert invoke("transfer", *options, "--policy", "first", "--run-dir", "moved").code == 0
    refused = invoke("train", "--config", "moved/config.json")
    assert refused.code == 2
    assert "the configuration begins with the policy 'first': name it with --policy, too" in refused.stderr
    named = invoke("train", "--config", "moved/config.json", "--policy", "first", "--run-dir", "named", "--quiet")
    assert named.code == 0
    assert Path("moved/allocations.csv").read_bytes() == Path("named/allocations.csv").read_bytes()


def test_a_search_from_scratch_takes_no_policy(invoke: Invoke) -> None:
    ended = invoke("train", *SMALL[:2], "--from-scratch", "--policy", "somewhere")
    assert ended.code == 2
    assert "from_scratch and the policy 'somewhere': choose one of the two" in ended.stderr


def test_tasks_of_files_with_one_name_are_told_apart(invoke: Invoke) -> None:
    Path("b").mkdir()
    shutil.copy("graph.npz", "b/graph.npz")
    ended = invoke("train", *SMALL, "--dataset", "b/graph.npz", "--run-dir", "policy", "--json", "--quiet")
    assert ended.code == 0
    names = [task["task"] for task in json.loads(ended.stdout)["tasks"]]
    assert names == [
        "gcn on graph.npz bits 2,4 num layers 1 hidden channels 8 evaluator post-training",
        "gcn on graph.npz bits 2,4 num layers 1 hidden channels 8 evaluator post-training (2)",
    ]
    ended = invoke("train", *SMALL, "--dataset", "./b/../graph.npz")
    assert ended.code == 2
    assert "a task is named twice" in ended.stderr


@without_gpu
@pytest.mark.parametrize("command", ["train", "transfer", "search", "allocate"])
@pytest.mark.parametrize(("device", "reason"), [("cuda", "torch"), ("warp", "it is not among auto, cpu")])
def test_a_device_that_cannot_be_used_is_one_line(invoke: Invoke, command: str, device: str, reason: str) -> None:
    folder = [] if command == "allocate" else ["--run-dir", "run"]
    ended = invoke(command, "--dataset", "graph.npz", "--device", device, *folder)
    assert ended.code == 2
    assert f"device '{device}" in ended.stderr
    assert f"cannot be used here: {reason}" in ended.stderr.replace("this torch", "torch")
    assert len(ended.stderr.splitlines()) == 1
    assert not Path("run").exists()


@without_gpu
def test_the_device_is_part_of_the_run(small_run: Path) -> None:
    assert RunFolder.read(small_run).config["device"] == "cpu"
    assert re.search(r"<dt>device</dt>\s*<dd>cpu</dd>", (small_run / "report.html").read_text())
