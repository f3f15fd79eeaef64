"""The native part of the build; everything else is in pyproject.toml."""

import platform
from pathlib import Path

import pybind11
from pybind11.setup_helpers import ParallelCompile
from setuptools import Extension, setup

SOURCES = Path("mixq_rl/kernels/cpp")
# Without -g0 an interpreter built with -g makes a library of 50 MB in place of 2 MB.
GCC_LIKE = ["-O3", "-g0", "-std=c++17", "-fwrapv", "-fvisibility=hidden"]
OPTIONS = {
    "Linux": ([*GCC_LIKE, "-fopenmp"], ["-fopenmp"]),
    "Darwin": (GCC_LIKE, []),
    "Windows": (["/O2", "/std:c++17", "/openmp"], []),
}
ParallelCompile(default=0).install()
compile_args, link_args = OPTIONS.get(platform.system(), (GCC_LIKE, []))

setup(
    ext_modules=[
        Extension(
            "mixq_rl.kernels._cpu",
            sources=sorted(str(path) for path in SOURCES.glob("*.cpp")),
            depends=sorted(str(path) for path in SOURCES.glob("*.hpp")),
            include_dirs=[pybind11.get_include()],
            language="c++",
            extra_compile_args=compile_args,
            extra_link_args=link_args,
            # Without a compiler the package still installs, and executes the integers in torch.
            optional=True,
        )
    ]
)
