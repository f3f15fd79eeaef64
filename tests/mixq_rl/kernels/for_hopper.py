"""A program that compiles the GPU's kernels for an H100, and prints what the compilers made of them, one line each.

Launches are recorded, not made: what is compiled is what networks on graphs like Cora, ogbn-arxiv and ogbn-products
need. Nothing here needs a GPU. Without ``--all`` it compiles the kernels that take most of the time.
"""

import contextlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
import triton
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.jit import JITFunction

from mixq_rl.kernels.arguments import CSRMatrix, Matrix, Rescale
from mixq_rl.kernels.cuda_backend import launch
from mixq_rl.kernels.triton_backend import aggregate, linear
from mixq_rl.quantization import FixedPoint, IntegerRange, PackedRows, Requantization

POINTERS = {torch.int8: "*i8", torch.uint8: "*u8", torch.int16: "*i16", torch.int32: "*i32", torch.int64: "*i64"}
DUMP = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"


def main() -> None:
    launches: list[tuple[JITFunction[Any], tuple[Any, ...], dict[str, Any]]] = []
    JITFunction.run = lambda self, *args, grid, warmup, **kwargs: launches.append((self, args, kwargs))  # type: ignore
    for module in ("aggregate", "linear"):
        vars(__import__(f"mixq_rl.kernels.triton_backend.{module}", fromlist=["x"]))["on_device"] = lambda out: (
            contextlib.nullcontext()
        )
    sizes = ((200, 1433, 128), (300, 128, 256), (300, 256, 40), (200, 128, 7))
    everything = "--all" in sys.argv
    for bits in (8, 4, 2, 1):
        for size in sizes if everything else sizes[1:2]:
            for fused in (True, False) if everything else (True,):
                launches.clear()
                linear(*product(*size, bits, fused))
                for recorded in launches:
                    show(f"linear {size[1]}x{size[2]}", bits, fused, compiled(*recorded))
        for width in (128, 256):
            if everything or (width, bits) == (128, 4):
                launches.clear()
                aggregate(*neighbour_sum(width, bits))
                for recorded in launches:
                    show(f"aggregate {width}, Triton", bits, True, compiled(*recorded))
            if shutil.which("nvcc"):
                graph, x, _, _ = neighbour_sum(width, bits)
                show(f"aggregate {width}, C++", bits, True, compiled_by_nvcc(launch.Specialization.of(graph, x)))


def product(rows: int, inputs: int, outputs: int, bits: int, fused: bool) -> tuple[Any, ...]:
    x, weight = (
        random(*size, IntegerRange(bits, signed))
        for size, signed in (((rows, inputs), False), ((inputs, outputs), True))
    )
    offered = IntegerRange(bits, True)
    row = FixedPoint(torch.ones(rows, 1, dtype=torch.int32), 26)
    scale = torch.full((outputs,), 1e-4, dtype=torch.float64)
    rescale = Rescale.of(Requantization.from_scales(scale, None, 26, offered, 0), row)
    if not fused:
        return x, weight, None, torch.empty(rows, outputs, dtype=torch.int32)
    return x, weight, rescale, torch.empty(rows, offered.row_bytes(outputs), dtype=offered.storage_dtype)


def neighbour_sum(width: int, bits: int) -> tuple[Any, ...]:
    degree = torch.tensor([1000, 100, *[3] * 600])
    rowptr = torch.zeros(degree.numel() + 1, dtype=torch.int32)
    rowptr[1:] = degree.cumsum(0)
    graph = CSRMatrix(rowptr, torch.zeros(int(rowptr[-1]), dtype=torch.int32), torch.zeros(int(rowptr[-1])).byte(), 0)
    offered, bias = IntegerRange(bits, False), torch.zeros(width, dtype=torch.float64)
    scale = torch.tensor(1e-3, dtype=torch.float64)
    row = FixedPoint(torch.ones(degree.numel(), 1, dtype=torch.int32), 30)
    rescale = Rescale.of(Requantization.from_scales(scale, bias, 30, offered, 0), row)
    out = torch.empty(degree.numel(), offered.row_bytes(width), dtype=torch.uint8)
    return graph, random(600, width, IntegerRange(bits, True)), rescale, out


def random(rows: int, columns: int, offered: IntegerRange) -> Matrix:
    data = torch.zeros(rows, offered.row_bytes(columns), dtype=offered.storage_dtype)
    return Matrix.of(PackedRows(data, columns, offered))


def compiled(function: JITFunction[Any], arguments: tuple[Any, ...], keywords: dict[str, Any]) -> bytes:
    """Compile what a launch needs, with what Triton concludes from its arguments."""
    options = {name: keywords.pop(name) for name in ("num_warps", "num_stages") if name in keywords}
    given = dict(zip(function.arg_names, arguments, strict=False)) | keywords
    signature: dict[str, str] = {}
    constants: dict[tuple[int, ...], Any] = {}
    attributes: dict[tuple[int, ...], Any] = {}
    for place, parameter in enumerate(function.params):
        value = given[parameter.name]
        if parameter.is_constexpr or value is None:
            signature[parameter.name], constants[place,] = "constexpr", value
        elif isinstance(value, Tensor):
            signature[parameter.name] = POINTERS[value.dtype]
            attributes[place,] = [["tt.divisibility", 16]] if value.data_ptr() % 16 == 0 else []
        else:
            signature[parameter.name] = "i32"
            if not parameter.do_not_specialize and value % 16 == 0:
                attributes[place,] = [["tt.divisibility", 16]]
    source = ASTSource(fn=function, signature=signature, constexprs=constants, attrs=attributes)
    cubin: bytes = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options).asm["cubin"]
    return cubin


def compiled_by_nvcc(how: launch.Specialization) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        source, cubin = Path(folder) / "kernel.cu", Path(folder) / "kernel.cubin"
        source.write_text(launch.source())
        flags = [f"-D{name}={value}" for name, value in launch.defines(how).items()]
        command = ["nvcc", "-arch=sm_90", "-cubin", "-std=c++17", *flags, "-o", str(cubin), str(source)]
        subprocess.run(command, check=True, capture_output=True)
        return cubin.read_bytes()


def show(kernel: str, bits: int, fused: bool, cubin: bytes) -> None:
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        usage, code = (
            subprocess.run([str(DUMP), option, file.name], check=True, capture_output=True, text=True).stdout
            for option in ("-res-usage", "-sass")
        )
    registers, stack = map(int, re.findall(r"REG:(\d+) STACK:(\d+)", usage)[0])
    loads = sorted(set(re.findall(r"\b(LDG(?:STS)?[A-Z0-9.]*)", code)))
    print(
        json.dumps(
            {"kernel": kernel, "bits": bits, "fused": fused, "registers": registers, "stack": stack, "loads": loads}
        )
    )


if __name__ == "__main__":
    main()
