"""The command, called in this process."""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from mixq_rl.agents.cli import main

__all__ = ["SMALL", "Ended", "Invoke", "invoking"]

SMALL = (
    *("--dataset", "graph.npz", "--episodes", "4", "--layers", "1", "--hidden-channels", "8"),
    *("--bits", "2,4", "--evaluator", "post-training"),
)
"""Options of a run that takes two seconds."""


@dataclass(frozen=True)
class Ended:
    """What a command did."""

    code: int
    stdout: str
    stderr: str


Invoke = Callable[..., Ended]


def invoking(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Invoke:
    """Return what calls the command with arguments."""

    def invoke(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["mixq-rl", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Ended(ended.value.code, captured.out, captured.err)

    return invoke
