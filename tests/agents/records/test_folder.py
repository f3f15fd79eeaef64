import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mixq_rl import PreparationCache
from mixq_rl.agents import EvaluatorConfig, RunConfig, resume_training, train
from mixq_rl.agents.records.folder import FolderInUseError, RunFolder
from mixq_rl.errors import ArtifactError, InputError
from tests.agents.cli.invoking import run, save_graph
from tests.conftest import MakeOnce

CONFIG = RunConfig(dataset="graph.npz", episodes=4, hidden_channels=8, num_layers=1, bits=(2, 4))


def test_says_all_that_is_needed_to_repeat_the_run(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path / "run", "run", CONFIG):
        document = json.loads((tmp_path / "run" / "config.json").read_text())
    assert document["config"]["seed"] == 0
    assert set(document) == {"format", "version", "config", "notes", "packages", "commit", "hardware", "directory"}
    assert document["packages"]["torch"]
    assert document["hardware"]["processor"]
    assert RunFolder.read(tmp_path / "run").restore(RunConfig) == CONFIG


def test_one_process_at_a_time_has_it(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path, "run", CONFIG):
        assert RunFolder.read(tmp_path).in_use
        for take in (
            lambda: RunFolder.open(tmp_path, "run"),
            lambda: RunFolder.create(tmp_path, "search", CONFIG, shared=True),
        ):
            with pytest.raises(FolderInUseError, match="is being used by another process"):
                take()
    assert not RunFolder.read(tmp_path).in_use
    RunFolder.open(tmp_path, "run").close()


HOLD = """
from pathlib import Path
from mixq_rl.agents.records.folder import RunFolder
folder = RunFolder.open(Path(), "run")
print("held", flush=True)
input()
"""


def test_a_process_that_is_killed_lets_go_of_it(tmp_path: Path) -> None:
    RunFolder.create(tmp_path, "run", CONFIG).close()
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", HOLD], cwd=tmp_path, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(FolderInUseError):
            RunFolder.open(tmp_path, "run")
        process.kill()
        process.wait()
        RunFolder.open(tmp_path, "run").close()


def test_the_command_says_it_in_one_line(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path / "run", "run", CONFIG):
        result = run("train", "--resume", "run", cwd=tmp_path)
    assert result.code == 2
    assert result.stderr.startswith("mixq-rl: run folder 'run' is being used by another process")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"version": 99}, ArtifactError, r"was written by a newer mixq_rl: it has format version 99, this one reads"),
        ({"version": 1}, ArtifactError, r"was written by an older mixq_rl"),
        ({"version": "4"}, InputError, r"not of a run"),
        ({"format": "mixq_rl/policy_file"}, InputError, r"not of a run"),
        ({"config": 3}, ArtifactError, r"is damaged: Expected `object`, got `int` - at `\$.config`"),
        ({"config": {"flavour": 1}}, ArtifactError, r"is not what this version writes"),
        ({"format": "mixq_rl/search"}, InputError, r"is of a 'search', not of a 'run'"),
    ],
)
def test_what_it_cannot_go_on_with_is_refused_and_left_alone(
    tmp_path: Path, change: dict[str, Any], error: type[Exception], message: str
) -> None:
    RunFolder.create(tmp_path, "run", CONFIG).close()
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    before = path.read_bytes()
    with pytest.raises(error, match=message):
        resume_training(tmp_path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("text", ["", "[]", "{}", "not JSON"])
def test_a_damaged_configuration_is_no_run(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(InputError, match="is not of a run"):
        RunFolder.read(tmp_path)


def test_a_folder_without_a_run_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "none", tmp_path / "file"):
        with pytest.raises(InputError, match=r"is no run folder: .*config\.json' is missing"):
            RunFolder.read(path)


def test_only_an_empty_folder_becomes_a_run(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match=r"holds 'mine\.txt': name a new or empty folder"):
        RunFolder.create(tmp_path, "run", CONFIG)
    with pytest.raises(InputError, match="is a file"):
        RunFolder.create(tmp_path / "mine.txt", "run", CONFIG)
    RunFolder.create(tmp_path / "run", "run", CONFIG).close()
    with pytest.raises(InputError, match=r"or resume it: mixq-rl train --resume .*run"):
        RunFolder.create(tmp_path / "run", "run", CONFIG)


def test_a_search_goes_on_in_a_folder_of_the_same_configuration(tmp_path: Path) -> None:
    config = EvaluatorConfig(dataset="graph.npz")
    RunFolder.create(tmp_path, "search", config, shared=True).close()
    moved = EvaluatorConfig(dataset="graph.npz", data_root="elsewhere")
    RunFolder.create(tmp_path, "search", moved, shared=True).close()
    with pytest.raises(InputError, match="has seed 0, not 1"):
        RunFolder.create(tmp_path, "search", EvaluatorConfig(dataset="graph.npz", seed=1), shared=True)


def test_what_a_killed_process_left_half_done_is_removed(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "run", CONFIG)
    folder.close()
    for place in (tmp_path, folder.checkpoints, folder.finalists):
        place.mkdir(exist_ok=True)
        (place / f".draft.{'0' * 32}").mkdir()
    RunFolder.open(tmp_path, "run").close()
    assert [path.name for path in tmp_path.rglob(".*")] == [".lock"]


Resize = Callable[[str], None]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[tuple[Path, Resize]]:
    """A disk of its own, and what changes it, as ``mount -o`` has it."""
    path = tmp_path / "disk"
    path.mkdir()

    def mount(options: str, *more: str) -> bool:
        command = ["mount", "-t", "tmpfs", "-o", options, *more, "tmpfs", str(path)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    if not mount("size=1m"):
        pytest.skip("no disk can be mounted here: that takes root")

    def change(options: str) -> None:
        assert mount(f"remount,{options}")

    yield path, change
    subprocess.run(["umount", "--lazy", str(path)], check=True)  # noqa: S607


def make_whole(folder: Path) -> None:
    config = RunConfig(**{**vars(CONFIG), "dataset": str(save_graph(folder / "graph.npz"))})
    train(config, folder / "whole", cache=PreparationCache(folder / "prepared"))


@pytest.mark.parametrize(
    "kilobytes", [4, pytest.param(100, marks=pytest.mark.slow), 180, pytest.param(240, marks=pytest.mark.slow), 400]
)
def test_a_full_disk_ends_the_run_which_goes_on_when_there_is_room(
    disk: tuple[Path, Resize], make_once: MakeOnce, kilobytes: int
) -> None:
    path, change = disk
    made = make_once("run-to-repeat", make_whole)
    config = RunConfig(**{**vars(CONFIG), "dataset": str(made / "graph.npz")})
    cache = PreparationCache(made / "prepared")
    change(f"size={kilobytes}k")
    with pytest.raises(OSError, match=r"(?i)no space left on device|disk is full|disk I/O error"):
        train(config, path / "run", cache=cache)
    with pytest.raises(OSError, match=r"(?i)no space left on device|disk is full|disk I/O error"):
        resume_training(path / "run", cache=cache)
    change("size=20m")
    resume_training(path / "run", cache=cache)
    for file in ("allocations.csv", "model/integer_model.safetensors", "policy/policy.safetensors"):
        assert (path / "run" / file).read_bytes() == (made / "whole" / file).read_bytes()


def test_the_command_says_of_a_full_disk_how_to_go_on(disk: tuple[Path, Resize], tmp_path: Path) -> None:
    path, change = disk
    save_graph(tmp_path / "graph.npz")
    change("size=100k")
    options = ["--episodes", "4", "--layers", "1", "--hidden-channels", "8", "--evaluator", "post-training"]
    result = run("train", "--dataset", "graph.npz", *options, "--run-dir", str(path / "run"), cwd=tmp_path)
    assert result.code == 1
    assert result.stderr.startswith("mixq-rl: ")
    assert result.stderr.endswith(f"nothing so far is lost: resume with mixq-rl train --resume {path / 'run'}\n")
    assert len(result.stderr.splitlines()) == 1


def test_a_read_only_folder_is_said_to_be_one_and_stays_as_it_is(disk: tuple[Path, Resize], tmp_path: Path) -> None:
    path, change = disk
    RunFolder.create(path / "run", "run", CONFIG).close()
    before = {entry: entry.read_bytes() for entry in (path / "run").iterdir()}
    change("ro")
    with pytest.raises(InputError, match=r"disk/run' cannot be written: Read-only file system"):
        RunFolder.open(path / "run", "run")
    with pytest.raises(InputError, match=r"disk/new' cannot be written: Read-only file system"):
        RunFolder.create(path / "new", "run", CONFIG)
    assert not RunFolder.read(path / "run").in_use
    assert {entry: entry.read_bytes() for entry in (path / "run").iterdir()} == before
