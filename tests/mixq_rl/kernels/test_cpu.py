import subprocess
import sys
from pathlib import Path

import pytest

from mixq_rl.kernels import cpu

WITHOUT_EXTENSION = """
import sys, warnings
sys.modules["mixq_rl.kernels._cpu"] = None
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import torch
    from mixq_rl import kernels
    x = torch.tensor([[1, 2], [3, -4]], dtype=torch.int8)
    for _ in range(3):
        assert kernels.linear(x, x).tolist() == [[7, -6], [-9, 22]]
assert kernels.backends() == ("reference",)
told = [str(warning.message) for warning in caught if "native kernels cannot be imported" in str(warning.message)]
assert len(told) == 1, told
"""


def test_the_extension_is_built_and_offers_portable_code() -> None:
    assert cpu.instruction_sets()[-1] == "portable"


def test_without_the_extension_the_package_says_so_once_and_computes_the_same() -> None:
    subprocess.run([sys.executable, "-c", WITHOUT_EXTENSION], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="guards memory by mprotect")
def test_nothing_is_read_past_the_end_of_an_operand() -> None:
    subprocess.run([sys.executable, str(Path(__file__).with_name("guarded.py"))], check=True)
