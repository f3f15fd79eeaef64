"""A run folder of a stranger: nothing is written, removed or read outside it, and nothing waits."""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agents.cli.invoking import Invoke

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs symbolic links and named pipes")

COMMANDS = {
    "resume": ("train", "--resume", "run"),
    "report": ("report", "run"),
    "compare": ("compare", "run"),
    "predict": ("predict", "run", "--dataset", "graph.npz"),
    "export": ("export", "run", "--output", "out"),
    "transfer": ("transfer", "--policy", "run", "--dataset", "graph.npz", "--run-dir", "new", "--layers", "1"),
    "search": ("search", "--dataset", "graph.npz", "--run-dir", "run", "--algorithm", "random", "--evaluations", "2"),
}
PLACES = (
    *("checkpoints", "finalists", "model", "policy", "start", "log.txt", "config.json", "result.json", "report.html"),
    *("evaluations.sqlite", "evaluations.sqlite-wal", "evaluations.sqlite-journal", ".lock", "pareto.png"),
    *("comparison.png", "allocations.csv", "events.out.tfevents.1", "policy/policy.json", "model/integer_model.json"),
)


@pytest.fixture
def photos(tmp_path: Path) -> Iterator[Path]:
    """Files of the user outside the run folder. The end of the test checks that none has changed."""
    place = tmp_path / "photos"
    for name in ("2021/sea.jpg", "000000004/hill.jpg", "notes.txt"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(f"the content of {name}")
    before = _content(place)
    yield place
    assert _content(place) == before


def _content(place: Path) -> dict[str, str]:
    return {str(path.relative_to(place)): path.read_text() for path in place.rglob("*") if path.is_file()}


def _replaced(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return path


@pytest.mark.parametrize("place", PLACES)
def test_links_are_refused(invoke: Invoke, small_run: Path, photos: Path, place: str) -> None:
    target = photos if Path(place).suffix in ("", ".lock") and place != ".lock" else photos / "notes.txt"
    (small_run / "result.json").unlink()  # the run could be resumed
    _replaced(small_run / place).symlink_to(target)
    for arguments in COMMANDS.values():
        ended = invoke(*arguments)
        assert ended.code == 2, ended
        assert len(ended.stderr.splitlines()) == 1
        assert "symbolic link" in ended.stderr
    assert invoke("runs", ".").code == 0


@pytest.mark.parametrize("place", ["log.txt", "evaluations.sqlite", "config.json"])
def test_hard_links_are_refused(invoke: Invoke, small_run: Path, photos: Path, place: str) -> None:
    (small_run / "result.json").unlink()
    if place != "config.json":
        _replaced(small_run / place)
        os.link(photos / "notes.txt", small_run / place)
    else:
        os.link(small_run / place, photos.parent / "copy.json")
    ended = invoke("train", "--resume", "run")
    assert ended.code == 2
    assert "is a hard link, a file with several names" in ended.stderr


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_pipes_and_sockets_are_refused_at_once(invoke: Invoke, small_run: Path, place: str, kind: str) -> None:
    path = _replaced(small_run / place)
    if kind == "pipe":
        os.mkfifo(path)
    else:
        here = Path.cwd()
        os.chdir(path.parent)  # the path of a socket is short
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
        os.chdir(here)
    started = time.monotonic()
    for name, arguments in COMMANDS.items():
        if arguments[0] == "transfer" and not place.startswith("policy"):  # reads the policy alone
            continue
        ended = invoke(*arguments)
        assert ended.code == 2, ended
        assert len(ended.stderr.splitlines()) == 1
        if name == "resume":
            assert "is a named pipe" in ended.stderr or "is a socket" in ended.stderr
    shown = invoke("runs", ".")
    assert shown.code == 0
    assert "skipped:" in shown.stderr
    assert time.monotonic() - started < 60


def test_an_endless_device_is_not_read(invoke: Invoke, small_run: Path) -> None:
    for arguments in (("train", "--config", "/dev/zero"), ("report", "/dev"), ("predict", "/dev/zero")):
        ended = invoke(*arguments)
        assert ended.code == 2
        assert len(ended.stderr.splitlines()) <= 1 or arguments[0] == "predict"


def test_the_folder_itself_may_be_a_link(invoke: Invoke, small_run: Path) -> None:
    Path("latest").symlink_to(small_run)
    assert invoke("report", "latest").code == 0


def test_a_link_elsewhere_in_the_run_has_its_policy_refused(invoke: Invoke, small_run: Path, photos: Path) -> None:
    (small_run / "pareto.png").unlink()
    (small_run / "pareto.png").symlink_to(photos / "notes.txt")
    ended = invoke("allocate", "--policy", "run", "--dataset", "graph.npz", "--layers", "1")
    assert (ended.code, len(ended.stderr.splitlines())) == (2, 1)
    assert "is a symbolic link" in ended.stderr


@pytest.mark.parametrize("place", ["run", "."])
def test_deep_folders_are_walked(invoke: Invoke, small_run: Path, place: str) -> None:
    here = Path.cwd()
    os.chdir(place)
    for _ in range(1200):
        os.mkdir("a")  # noqa: PTH102  a path of this depth is too long for a name
        os.chdir("a")
    os.chdir(here)
    for arguments in (("runs", "."), ("report", "run")):
        ended = invoke(*arguments)
        assert ended.code == 0 or len(ended.stderr.splitlines()) == 1
    subprocess.run(["rm", "-rf", str(here / place / "a")], check=True)  # noqa: S607  shutil would recurse


def test_a_policy_that_only_the_run_names_is_not_read(invoke: Invoke, small_run: Path) -> None:
    shutil.move(small_run / "start", "elsewhere")
    (small_run / "result.json").unlink()
    config = json.loads((small_run / "config.json").read_text())
    config["config"]["policy"] = str(Path("elsewhere").absolute())
    (small_run / "config.json").write_text(json.dumps(config))
    ended = invoke("train", "--resume", "run")
    assert ended.code == 2
    assert "does not hold the policy that it began with" in ended.stderr


def test_escapes_in_a_result_do_not_reach_the_terminal(invoke: Invoke, small_run: Path) -> None:
    result = json.loads((small_run / "result.json").read_text())
    result |= {"choice": "x\x1b[2J\u202e[red]", "title": "\x1b[31m"}
    (small_run / "result.json").write_text(json.dumps(result))
    for arguments in (
        ("train", "--resume", "run"),
        ("runs", "."),
        ("report", "run"),
        ("export", "run", "--output", "o"),
    ):
        ended = invoke(*arguments)
        assert ended.code == 0, ended
        assert not {"\x1b", "\u202e"} & set(ended.stdout + ended.stderr)
    page = (small_run / "report.html").read_text()
    assert not {"\x1b", "\u202e"} & set(page)
