"""What compilers make of the GPU's kernels for an H100, without one: they compile, spill nothing and load widely."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).parent / "for_hopper.py"


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def kernels() -> list[dict[str, Any]]:
    if importlib.util.find_spec("triton") is None:
        pytest.skip("Triton is not installed")
    # A process of its own: in this one Triton may interpret.
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    ended = subprocess.run([sys.executable, PROGRAM], capture_output=True, text=True, env=environment, check=False)
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line) for line in ended.stdout.splitlines()]


def test_nothing_is_spilled(kernels: list[dict[str, Any]]) -> None:
    main = [kernel for kernel in kernels if "Triton" not in kernel["kernel"]]  # its neighbour sum is a fallback
    assert len(main) >= 4
    assert [kernel for kernel in main if kernel["stack"]] == []


def test_rows_are_loaded_by_the_widest_words(kernels: list[dict[str, Any]]) -> None:
    for kernel in kernels:
        if kernel["kernel"].endswith("C++"):
            widest = {8: ".128", 4: ".64", 2: "", 1: ".U16"}[kernel["bits"]]
            assert f"LDG.E{widest}.CONSTANT" in kernel["loads"], kernel
        if kernel["kernel"].startswith("linear"):
            assert any(load.endswith("128") for load in kernel["loads"]), kernel
