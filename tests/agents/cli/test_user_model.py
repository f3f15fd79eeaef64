"""``--model net.py:Net --weights model.pt`` in every command."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import mixq_rl
from mixq_rl.datasets.file import load_file
from tests.agents.cli.invoking import Invoke, copy_run
from tests.agents.cli.user_model import OPTIONS, USER, make_user_run, write_model
from tests.conftest import MakeOnce


@pytest.fixture
def user_run(invoke: Invoke, make_once: MakeOnce, tmp_path: Path) -> Path:
    """The folder ``run`` of a run with ``USER``, in the present one, beside the files of the model."""
    return copy_run(make_once("user-run", make_user_run), tmp_path).relative_to(tmp_path)


@pytest.fixture
def unfinished(user_run: Path) -> Path:
    (user_run / "result.json").unlink()
    return user_run


def document(run: Path, name: str = "config.json") -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run / name).read_text())
    return content


def test_the_given_weights_are_the_float32_network(user_run: Path) -> None:
    task = load_file(Path("graph.npz"))
    model = mixq_rl.load_model("mine/net.py:Net", task, weights="mine/model.pt")
    accuracy = task.accuracy(model(task.x, task.edge_index), "validation")
    assert accuracy > 0.7
    result = document(user_run, "result.json")
    assert result["title"] == "net.py:Net on graph.npz"
    assert result["finalists"][0]["evaluation"]["accuracy"] == accuracy
    log = (user_run / "log.txt").read_text()
    assert "float32: the given weights, which are not trained further" in log
    assert "training in float32" not in log


def test_the_run_folder_has_the_hashes_and_no_copy(user_run: Path) -> None:
    config = document(user_run)["config"]
    assert (config["model"], config["weights"]) == ("mine/net.py:Net", "mine/model.pt")
    assert len(config["model_sha256"]) == len(config["weights_sha256"]) == 64
    assert not [path for path in user_run.rglob("*") if path.suffix in (".py", ".pt")]
    page = (user_run / "report.html").read_text()
    assert config["model_sha256"] in page
    assert "config.json --model mine/net.py:Net --weights mine/model.pt --run-dir NEW" in page


def test_what_was_found_works_without_the_users_files(invoke: Invoke, user_run: Path) -> None:
    shutil.rmtree("mine")
    for arguments in (
        ("report", "run"),
        ("runs", "."),
        ("compare", "run"),
        ("export", "run", "--output", "out", "--program"),
        ("predict", "out", "--dataset", "graph.npz"),
        ("predict", "run", "--dataset", "graph.npz"),
        ("allocate", "--policy", "run", "--dataset", "graph.npz", "--layers", "1"),
        ("train", "--resume", "run"),  # has ended
    ):
        ended = invoke(*arguments)
        assert (ended.code, ended.stderr) == (0, ""), ended


def test_a_run_goes_on_with_the_same_files(invoke: Invoke, unfinished: Path, tmp_path: Path) -> None:
    before = (unfinished / "allocations.csv").read_bytes()
    (tmp_path / "mine").rename(tmp_path / "moved")
    ended = invoke("train", "--resume", "run", "--model", "moved/net.py:Net", "--weights", "moved/model.pt", "--json")
    assert ended.code == 0
    assert len(ended.stdout.splitlines()) == 1
    assert "a word of the file\n" in ended.stderr
    assert (unfinished / "allocations.csv").read_bytes() == before


@pytest.mark.usefixtures("unfinished")
def test_a_run_does_not_go_on_with_other_files(invoke: Invoke) -> None:
    def refused(*named: str) -> str:
        ended = invoke("train", "--resume", "run", *named)
        assert (ended.code, len(ended.stderr.splitlines())) == (2, 1), ended
        return ended.stderr

    assert "'run' has model 'net.py:Net', and not 'mine/net.py:Other': leave --model" in refused(
        "--model", "mine/net.py:Other", *USER[2:]
    )
    assert "'run' has model 'net.py:Net', and not 'gcn'" in refused("--model", "gcn", *USER[2:])
    assert "model file 'net.py' does not exist" in refused("--model", "net.py:Net", *USER[2:])
    shutil.copy("mine/layers.py", "layers.py")
    with Path("mine/layers.py").open("a") as file:
        file.write("raise RuntimeError('executed')\n")
    assert "'mine/net.py:Net', or a module beside it that it imports, is not what the run began with" in refused(*USER)
    shutil.move("layers.py", "mine/layers.py")
    torch.save({"conv.bias": torch.zeros(3)}, "mine/model.pt")
    assert "'mine/model.pt' is not what the run began with (SHA-256 " in refused(*USER)


def test_a_run_without_such_a_model_takes_none(invoke: Invoke, small_run: Path) -> None:
    (small_run / "result.json").unlink()
    write_model(Path())
    ended = invoke("train", "--resume", "run", *USER[:2])
    assert (ended.code, "has model 'gcn', and not 'mine/net.py:Net': leave" in ended.stderr) == (2, True)
    ended = invoke("train", "--resume", "run", *USER[2:])
    assert (ended.code, "'run' has no weights: leave --weights mine/model.pt out" in ended.stderr) == (2, True)


def test_other_weights_and_other_code_are_prepared_anew(invoke: Invoke) -> None:
    write_model(Path())
    for change in (None, "code", "no weights"):
        if change == "code":
            with Path("mine/layers.py").open("a") as file:
                file.write("# changed\n")
        named = USER[:2] if change == "no weights" else USER
        ended = invoke("allocate", "--dataset", "graph.npz", "--bits", "2,4", *named, "--json")
        assert ended.code == 0
        assert "loading what was prepared" not in ended.stderr
        assert ("training in float32" in ended.stderr) == (change == "no weights")
    assert len(list(Path("runs/prepared").iterdir())) == 3
    ended = invoke("allocate", "--dataset", "graph.npz", "--bits", "2,4", *USER, "--json")
    assert "loading what was prepared" in ended.stderr


def test_searches_share_a_folder_while_the_files_are_the_same(invoke: Invoke) -> None:
    write_model(Path())
    options = ("--dataset", "graph.npz", "--bits", "2,4", "--evaluator", "post-training", "--evaluations", "4")
    arguments = ("search", *options, *USER, "--run-dir", "run", "--quiet", "--algorithm")
    assert invoke(*arguments, "random").code == 0
    assert invoke(*arguments, "greedy").code == 0
    with Path("mine/net.py").open("a") as file:
        file.write("# changed\n")
    ended = invoke(*arguments, "random")
    assert ended.code == 2
    assert "run folder 'run' is of another content of 'mine/net.py:Net': name a new or empty folder" in ended.stderr


def test_a_policy_is_transferred_to_a_users_model(invoke: Invoke) -> None:
    write_model(Path())
    ended = invoke("transfer", *OPTIONS, *USER, "--run-dir", "run", "--quiet")
    assert (ended.code, ended.stderr) == (0, "a word of the file\n")
    page = (Path("run") / "report.html").read_text()
    assert "--model mine/net.py:Net --weights mine/model.pt" in page
    assert "--model-sha256" not in page


@pytest.mark.slow
def test_a_policy_learns_on_a_users_model_beside_another(invoke: Invoke) -> None:
    write_model(Path())
    models = ("--model", "gcn", "--model", "mine/net.py:Net")
    assert invoke("train", *OPTIONS, *models, "--run-dir", "run", "--quiet").code == 0
    before = Path("run/policy/policy.safetensors").read_bytes()
    Path("run/result.json").unlink()
    ended = invoke("train", "--resume", "run")
    assert (ended.code, "add --model mine/net.py:Net" in ended.stderr) == (2, True)
    assert invoke("train", "--resume", "run", *USER[:2], "--quiet").code == 0
    assert Path("run/policy/policy.safetensors").read_bytes() == before


def test_a_model_by_name_takes_weights_too(invoke: Invoke) -> None:
    task = load_file(Path("graph.npz"))
    model = mixq_rl.fit(mixq_rl.build_model("gcn", task, hidden_channels=8), task, epochs=30)
    torch.save(model.state_dict(), "gcn.pt")
    options = ("--dataset", "graph.npz", "--bits", "2,4", "--hidden-channels", "8", "--weights", "gcn.pt")
    ended = invoke("allocate", *options, "--json", "--quiet")
    assert ended.code == 0
    accuracy = task.accuracy(model(task.x, task.edge_index), "validation")
    assert json.loads(ended.stdout)["float32_validation_accuracy"] == accuracy
    ended = invoke("allocate", "--dataset", "graph.npz", "--hidden-channels", "4", "--weights", "gcn.pt")
    assert (ended.code, len(ended.stderr.splitlines())) == (2, 1)
    assert "has shape" in ended.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--model", "mine/net.py"), "names no class or function in a Python file: write it as mine/net.py:Net"),
        (("--model", "none.py:Net"), "model file 'none.py' does not exist"),
        (("--model", "mine/net.py:net"), "model file 'mine/net.py' has no 'net': did you mean 'Net'?"),
        ((*USER[:2], "--layers", "3"), "has the layers and widths that its file gives it"),
        ((*USER[:2], "--weights", "none.pt"), "file of weights 'none.pt' does not exist"),
    ],
)
def test_mistakes(invoke: Invoke, options: tuple[str, ...], message: str) -> None:
    write_model(Path())
    for command in ("train", "allocate", "search", "transfer"):
        ended = invoke(command, "--dataset", "graph.npz", *options)
        assert ended.code == 2
        assert message in ended.stderr.replace("a word of the file\n", "")
    assert not list(Path().glob("runs/*graph*"))


def test_the_default_folder_is_named_after_the_model(invoke: Invoke) -> None:
    write_model(Path())
    assert invoke("train", *OPTIONS, *USER, "--quiet").code == 0
    assert [path.name[:19] for path in Path("runs").glob("graph*")] == ["graph-net-Net-seed0"]
