"""Nothing that a graph or a result may hold or become leads out of bounds."""

import subprocess
import sys
from pathlib import Path

import pytest

from mixq_rl import kernels

FASTEST, *OTHERS = kernels.backends()


@pytest.mark.parametrize("backend", [FASTEST, *(pytest.param(other, marks=pytest.mark.slow) for other in OTHERS)])
def test_no_graph_and_no_result_ends_the_process(backend: str) -> None:
    program = Path(__file__).with_name("hostile.py")
    ended = subprocess.run([sys.executable, program, backend], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"{ended.returncode}: {ended.stderr}"
