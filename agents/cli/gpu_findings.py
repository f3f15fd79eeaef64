"""Checks of ``mixq-rl doctor`` on the GPU: its name, and whether and how fast its kernels execute integers."""

import statistics
import time
import warnings
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from mixq_rl import kernels
from mixq_rl.agents.cli.finding import Finding
from mixq_rl.kernels import cuda_backend

__all__ = ["examine_gpu"]

_NODES, _NEIGHBOURS, _COLUMNS = 20_000, 16, 128
_REPEATS = 9


def examine_gpu(triton: str | None) -> Iterator[Finding]:
    """Yield findings about the GPU of ``--device cuda``. An exception in a check becomes a finding, too.

    Args:
        triton: version of Triton; None: not installed.
    """
    if not torch.cuda.is_available():
        built = "this torch is built without CUDA" if torch.version.cuda is None else "torch sees none"
        yield Finding("GPU", f"none ({built}); everything runs on the processor")
        return
    driver = f"see that nvidia-smi names it, and that its driver is recent enough for CUDA {torch.version.cuda}"
    card = _tried("GPU", _card, driver)
    yield card
    if triton is None:
        yield Finding("Triton", "missing, which executes integers on the GPU", "pip install triton")
        return
    if not card.remedy:
        yield _tried("CUDA C++", _cuda, "use --device cpu, and report it with these versions")
        compiler = "Triton needs a C compiler (gcc or clang), Python's headers, and a folder ~/.triton it can write"
        yield _tried("Triton", lambda: _kernel("Triton", "triton", f"{triton}, "), compiler)


def _tried(subject: str, look: Callable[[], Finding], remedy: str) -> Finding:
    try:
        return look()
    except Exception as error:  # drivers and compilers raise exceptions of any kind
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        return Finding(subject, f"it cannot be used: {reason}", remedy)


def _card() -> Finding:
    properties = torch.cuda.get_device_properties(0)
    count = torch.cuda.device_count()
    others = f", and {count - 1} more" if count > 1 else ""
    torch.empty(1, device="cuda:0")
    return Finding(
        "GPU",
        f"{properties.name}, {properties.total_memory / 2**30:.1f} GiB, compute capability "
        f"{properties.major}.{properties.minor}, CUDA {torch.version.cuda}{others}",
    )


def _cuda() -> Finding:
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # the finding below says the same
        finding = _kernel("CUDA C++", "cuda", "")
    reason = cuda_backend.why_unavailable()
    if reason:
        remedy = "reinstall torch in its CUDA build, which brings NVRTC"
        return Finding("CUDA C++", f"it cannot be used: {reason}. Triton sums over neighbours, which is slower", remedy)
    return finding


def _kernel(subject: str, backend: str, version: str) -> Finding:
    """Compile an aggregation, compare its integers with the reference's, and time it."""
    here = _aggregation()
    there = [tensor.to("cuda:0") for tensor in here]
    with kernels.using("reference"):
        expected = kernels.aggregate(*here)
    with kernels.using(backend):
        correct = torch.equal(kernels.aggregate(*there).cpu(), expected)
        taken = _milliseconds(there)
    if not correct:
        return Finding(
            subject,
            f"{version}an aggregation on the GPU gave other integers than the reference",
            "use --device cpu, and report it with these versions",
        )
    return Finding(
        subject,
        f"{version}compiled an aggregation that gives the reference's integers: {taken:.2f} ms, on the "
        f"processor {_milliseconds(here):.2f} ms ({_NODES * _NEIGHBOURS:,} edges, {_COLUMNS} columns of 8 bits)",
    )


def _aggregation() -> list[Tensor]:
    """Return rowptr, col, weight and x."""
    draw = torch.Generator().manual_seed(0)
    rowptr = torch.arange(_NODES + 1, dtype=torch.int32) * _NEIGHBOURS
    col = torch.randint(_NODES, (_NODES * _NEIGHBOURS,), generator=draw, dtype=torch.int32)
    weight = torch.randint(-128, 128, col.shape, generator=draw, dtype=torch.int8)
    x = torch.randint(-128, 128, (_NODES, _COLUMNS), generator=draw, dtype=torch.int8)
    return [rowptr, col, weight, x]


def _milliseconds(operands: list[Tensor]) -> float:
    """Return the median time of warm executions."""
    out = kernels.aggregate(*operands)
    seconds = []
    for _ in range(_REPEATS):
        _wait(out)
        started = time.perf_counter()
        kernels.aggregate(*operands, out=out)
        _wait(out)
        seconds.append(time.perf_counter() - started)
    return 1e3 * statistics.median(seconds)


def _wait(tensor: Tensor) -> None:
    if tensor.is_cuda:
        torch.cuda.synchronize(tensor.device)
