import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mixq_rl import startup

COMMAND = Path(sys.executable).with_name("mixq-rl")
posix = pytest.mark.skipif(os.name != "posix", reason="signals are those of POSIX")


def test_other_programs_keep_their_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(sys, "argv", ["train.py"])
    startup.importing()
    assert signal.getsignal(signal.SIGINT) is before


def test_the_handler_is_there_until_the_packages_are_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        monkeypatch.setattr(sys, "argv", ["/bin/mixq-rl"])
        startup.importing()
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        startup.imported()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_ignored_signals_stay_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        monkeypatch.setattr(sys, "argv", ["mixq-rl"])
        startup.importing()
        startup.imported()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@posix
@pytest.mark.skipif(not COMMAND.exists(), reason="the command is not installed beside Python")
def test_ctrl_c_during_the_imports_is_one_line() -> None:
    ends = (interrupted_while_importing() for _ in range(30))
    # On busy processors the command may have ended before it is seen to import torch.
    end = next((end for end in ends if end[0] != 0), None)
    assert end == (130, b"", b"mixq-rl: interrupted\n")


def interrupted_while_importing() -> tuple[int, bytes, bytes]:
    begun = subprocess.Popen([COMMAND, "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    maps = Path(f"/proc/{begun.pid}/maps")
    end = time.monotonic() + 30
    while time.monotonic() < end and begun.poll() is None:
        if not maps.exists():  # no such file system: wait for a moment in which torch is being imported
            time.sleep(0.5)
            break
        if "torch" in maps.read_text():
            break
        time.sleep(0.01)
    begun.send_signal(signal.SIGINT)
    stdout, stderr = begun.communicate()
    return begun.returncode, stdout, stderr
