"""The CUDA C++ kernels compiled for a CPU, so that they can be tested on a machine without a GPU."""

import ctypes
import shutil
import subprocess
from functools import cache, partial
from pathlib import Path

from mixq_rl.kernels.cuda_backend import launch
from tests.conftest import MakeOnce

__all__ = ["COMPILER", "EmulatedKernel", "emulated_kernel"]

COMPILER = shutil.which("g++")
_HEADER = Path(__file__).parent / "emulation.hpp"
_ENTRY = """
static Arguments given;
extern "C" void run(const Arguments* arguments, unsigned x, unsigned y, unsigned threads) {
    given = *arguments;
    emulation::body = [] { aggregate(given); };
    gridDim = {x, y, 1};
    for (blockIdx.y = 0; blockIdx.y < y; ++blockIdx.y)
        for (blockIdx.x = 0; blockIdx.x < x; ++blockIdx.x) emulation::run_block(threads);
}
extern "C" unsigned long size() { return sizeof(Arguments); }
"""


class EmulatedKernel:
    """Stands for a kernel that was loaded on a GPU."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    def launch(self, grid: tuple[int, int], threads: int, arguments: ctypes.Structure, stream: int) -> None:
        assert self._library.size() == ctypes.sizeof(arguments)
        self._library.run(ctypes.byref(arguments), *grid, threads)


@cache
def emulated_kernel(how: launch.Specialization, make_once: MakeOnce) -> EmulatedKernel:
    """Compile one specialisation for this machine, once for all processes of tests."""
    name = "-".join(["emulated", *(str(int(value)) for value in how)])
    return EmulatedKernel(ctypes.CDLL(str(make_once(name, partial(_compile, how)) / "kernel.so")))


def _compile(how: launch.Specialization, folder: Path) -> None:
    assert COMPILER is not None
    program = folder / "kernel.cpp"
    program.write_text(f'#include "{_HEADER}"\n{launch.source()}{_ENTRY}')
    flags = [f"-D{name}={value}" for name, value in launch.defines(how).items()]
    command = [COMPILER, "-std=c++17", "-O1", "-shared", "-fPIC", "-fwrapv", "-w", *flags]
    subprocess.run([*command, "-o", folder / "kernel.so", program], check=True)
