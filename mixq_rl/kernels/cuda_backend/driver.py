"""Compilation of CUDA C++ at run time by NVRTC and the driver, without a compiler on the machine."""

import ctypes
import site
import sys
from functools import cache
from pathlib import Path
from typing import Any

import torch

__all__ = ["CudaError", "Kernel", "UnavailableError", "compile_cubin"]

_INVALID_CONTEXT = 201


class CudaError(RuntimeError):
    """Error of the driver: it refused a launch, or reports that an earlier one failed."""


class UnavailableError(RuntimeError):
    """Error for a missing NVRTC or driver, or a program that cannot be compiled or loaded."""


class Kernel:
    """Function of a module, loaded on one device.

    Args:
        cubin: machine code for the device.
        name: name of the function.
        device: index of the device, whose context must be current.

    Raises:
        UnavailableError: if the driver is missing, or does not load the machine code.
    """

    def __init__(self, cubin: bytes, name: str, device: int) -> None:
        self._device = device
        self._driver = _driver()
        module, self._function = ctypes.c_void_p(), ctypes.c_void_p()
        try:
            self._call(self._driver.cuModuleLoadData, ctypes.byref(module), cubin)
            self._call(self._driver.cuModuleGetFunction, ctypes.byref(self._function), module, name.encode())
        except CudaError as error:
            raise UnavailableError(str(error)) from error

    def launch(self, grid: tuple[int, int], threads: int, arguments: ctypes.Structure, stream: int) -> None:
        """Launch the function with one argument, a structure that is passed by value.

        Raises:
            CudaError: if the driver refuses.
        """
        parameters = (ctypes.c_void_p * 1)(ctypes.addressof(arguments))
        size = (*grid, 1, threads, 1, 1, 0)
        self._call(self._driver.cuLaunchKernel, self._function, *size, ctypes.c_void_p(stream), parameters, None)

    def _call(self, function: Any, *arguments: Any) -> None:
        code = function(*arguments)
        if code == _INVALID_CONTEXT:  # torch has not used the device in this thread yet
            self._make_context_current()
            code = function(*arguments)
        if code:
            text = ctypes.c_char_p()
            self._driver.cuGetErrorString(code, ctypes.byref(text))
            raise CudaError(f"{function.__name__}: {(text.value or b'unknown error').decode()} ({code})")

    def _make_context_current(self) -> None:
        context, device = ctypes.c_void_p(), ctypes.c_int()
        self._driver.cuDeviceGet(ctypes.byref(device), self._device)
        self._driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), device)
        self._driver.cuCtxSetCurrent(context)


def compile_cubin(source: str, name: str, defines: dict[str, int], capability: tuple[int, int]) -> bytes:
    """Return the machine code of CUDA C++ for a compute capability.

    Args:
        source: the program.
        name: name of the program in messages.
        defines: definitions for the preprocessor.
        capability: compute capability, such as (9, 0).

    Raises:
        UnavailableError: if NVRTC is missing, or the program does not compile.
    """
    library = _nvrtc()
    program = ctypes.c_void_p()
    _check(library, library.nvrtcCreateProgram(ctypes.byref(program), source.encode(), name.encode(), 0, None, None))
    try:
        options = ["--gpu-architecture=sm_{}{}".format(*capability), "--std=c++17"]
        options += [f"-D{key}={value}" for key, value in defines.items()]
        given = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
        code = library.nvrtcCompileProgram(program, len(options), given)
        if code:
            raise UnavailableError(f"{name} does not compile: {_log(library, program)}")
        size = ctypes.c_size_t()
        _check(library, library.nvrtcGetCUBINSize(program, ctypes.byref(size)))
        cubin = ctypes.create_string_buffer(size.value)
        _check(library, library.nvrtcGetCUBIN(program, cubin))
        return cubin.raw
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


def _log(library: ctypes.CDLL, program: ctypes.c_void_p) -> str:
    size = ctypes.c_size_t()
    library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    library.nvrtcGetProgramLog(program, log)
    return log.value.decode(errors="replace")


def _check(library: ctypes.CDLL, code: int) -> None:
    if code:
        library.nvrtcGetErrorString.restype = ctypes.c_char_p
        raise UnavailableError(f"NVRTC: {library.nvrtcGetErrorString(code).decode()}")


@cache
def _nvrtc() -> ctypes.CDLL:
    if torch.version.cuda is None:
        raise UnavailableError("this torch is built without CUDA")
    major = torch.version.cuda.split(".")[0]
    if sys.platform == "win32":
        names = [f"nvrtc64_{major}0_0.dll"]
    else:
        names = [f"libnvrtc.so.{major}", "libnvrtc.so"]
        # Next to torch, where its own dependencies are installed.
        roots = [Path(torch.__file__).parent.parent, *map(Path, site.getsitepackages())]
        names += [str(path) for root in roots for path in sorted(root.glob(f"nvidia/*/lib/libnvrtc.so.{major}"))]
    return _first(names, "NVRTC")


@cache
def _driver() -> ctypes.CDLL:
    return _first(["nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"], "the CUDA driver")


def _first(names: list[str], what: str) -> ctypes.CDLL:
    for name in names:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise UnavailableError(f"{what} is not found: looked for {', '.join(names)}")
