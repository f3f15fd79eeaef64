import errno
import io
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

from mixq_rl.agents.cli.streams import settled_streams, undelivered
from tests.agents.cli.invoking import PROGRAM

FULL = Path("/dev/full")
posix = pytest.mark.skipif(os.name != "posix", reason="pipes and shells are those of POSIX")


def writes(descriptor: int) -> io.TextIOWrapper:
    return io.TextIOWrapper(os.fdopen(descriptor, "wb"), encoding="utf-8")


def test_what_is_written_arrives(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w", encoding="ascii") as file, mock.patch.object(sys, "stdout", file):
        with settled_streams():
            print("one ★")
            assert undelivered(sys.stdout) is None
        assert sys.stdout is file
        print("two")
    assert (tmp_path / "out").read_text() == "one ?\ntwo\n"


def test_a_closed_stream_takes_everything() -> None:
    with mock.patch.object(sys, "stdout", None), settled_streams():
        print("nowhere")
        assert sys.stdout is not None
        assert not sys.stdout.isatty()
        error = undelivered(sys.stdout)
        assert error is not None
        assert error.errno == errno.EBADF


def test_a_broken_pipe_is_no_error_until_it_is_asked_for() -> None:
    reads, end = os.pipe()
    os.close(reads)
    with writes(end) as pipe, mock.patch.object(sys, "stdout", pipe), settled_streams():
        for _ in range(3):
            print("nowhere", flush=True)
        assert isinstance(undelivered(sys.stdout), BrokenPipeError)


def test_streams_in_memory_stay() -> None:
    stream = io.StringIO()
    with mock.patch.object(sys, "stdout", stream), settled_streams():
        assert sys.stdout is stream
        assert undelivered(sys.stdout) is None


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a line of bash in which ``$M`` is the command."""
    program = f'm() {{ "{sys.executable}" -c "{PROGRAM}" "$@"; }}\n'
    script = [*(["bash", "-c"]), f"set -o pipefail; {program}{line}"]
    return subprocess.run(script, cwd=folder, capture_output=True, text=True, check=False)


@posix
@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "code", "stderr"),
    [
        ("m runs >&- 2>&-", 0, ""),
        ("m runs none 2>&-", 2, ""),
        ("m runs --json -q >&-", 1, "mixq-rl: the results cannot be printed as JSON: standard output is closed\n"),
        ("m runs --json -q >/dev/full", 1, "mixq-rl: standard output: No space left on device\n"),
        ("m --help | true", 141, ""),
    ],
)
def test_shells_see_the_exit_codes(line: str, code: int, stderr: str, tmp_path: Path) -> None:
    if "/dev/full" in line and not FULL.exists():
        pytest.skip("there is no /dev/full")
    ended = shell(line, tmp_path)
    assert (ended.returncode, ended.stderr) == (code, stderr)


@posix
@pytest.mark.slow
@pytest.mark.usefixtures("invoke")
def test_a_run_goes_on_when_its_reader_has_gone(tmp_path: Path) -> None:
    small = "--episodes 4 --layers 1 --hidden-channels 8 --bits 2,4 --evaluator post-training"
    ended = shell(f"m train --dataset graph.npz {small} --run-dir run | head -1", tmp_path)
    assert (ended.returncode, len(ended.stdout.splitlines()), ended.stderr) == (141, 1, "")
    assert (tmp_path / "run" / "result.json").exists()
