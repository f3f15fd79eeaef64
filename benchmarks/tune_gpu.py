"""Which variants of the GPU's kernels are fastest: blocks, columns of a lane, degrees at which rows are shared.

    python benchmarks/tune_gpu.py --output results

Writes ``tune-gpu.json``: microseconds of each variant, medians of launches one behind the other, each after operands of
other launches have passed through the caches. The degrees at which rows are shared were chosen from these; how many
blocks a multiprocessor has, by the registers that the compiler needs.
"""

import itertools
import json
import statistics
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from contestants import random_rows
from float_aggregate import float_aggregate
from graphs import named_graph
from measuring import circumstances
from torch import Tensor

from mixq_rl import kernels
from mixq_rl.kernels.arguments import CSRMatrix, Matrix, Rescale
from mixq_rl.kernels.cuda_backend import launch
from mixq_rl.kernels.triton_backend.linear import Tile, linear
from mixq_rl.quantization import FixedPoint, IntegerRange, Requantization

BITS = (8, 4, 2, 1)
THRESHOLDS = ((32, 128), (64, 256), (64, 512), (128, 512))
BLOCKS = ((4, 6), (4, 8), (4, 7), (4, 5), (8, 3), (8, 4))
PRODUCTS = ((2708, 1433, 128), (169_343, 128, 256), (169_343, 256, 40))
TILES = (
    *(Tile(64, 128, 64, 4), Tile(32, 128, 64, 4), Tile(64, 64, 64, 4), Tile(128, 64, 64, 4), Tile(32, 64, 64, 4)),
    *(Tile(64, 64, 32, 4), Tile(128, 128, 64, 8), Tile(64, 128, 32, 8)),
)
REPEATS = 12


def main(
    shape: Annotated[list[str], typer.Option(help="Repeatable.")] = ["cora", "arxiv", "products"],  # noqa: B006
    width: Annotated[list[int], typer.Option(help="Repeatable.")] = [128, 256],  # noqa: B006
    output: Path = Path(__file__).parent / "results",
) -> None:
    document = circumstances("tune_gpu.py", "cuda") | {"aggregate": [], "linear": []}
    output.mkdir(parents=True, exist_ok=True)

    def keep() -> None:
        (output / "tune-gpu.json").write_text(json.dumps(document, indent=1) + "\n")

    for name in shape:
        rowptr, col = named_graph(name, "cuda")
        for columns in width:
            document["aggregate"] += _aggregates(name, rowptr, col, columns)
            keep()
    for size in PRODUCTS:
        document["linear"] += _linears(*size)
        keep()


def _aggregates(name: str, rowptr: Tensor, col: Tensor, columns: int) -> list[dict[str, Any]]:
    nodes = rowptr.numel() - 1
    weight = torch.randint(0, 256, (col.numel(),), dtype=torch.uint8, device="cuda")
    graph = CSRMatrix(rowptr, col, weight, 0)
    row = FixedPoint.nearest(torch.rand(nodes, 1, device="cuda"), 30)
    variants: dict[tuple[Any, ...], Callable[[], object]] = {}
    wanted = set()
    for bits in BITS:
        x = Matrix.of(random_rows(nodes, columns, IntegerRange(bits, True), "cuda"))
        bias = torch.zeros(columns, dtype=torch.float64, device="cuda")
        scale = torch.tensor(1e-3, dtype=torch.float64, device="cuda")
        rescale = Rescale.of(Requantization.from_scales(scale, bias, 30, IntegerRange(bits, False), 0), row)
        fused = torch.empty(nodes, rescale.range.row_bytes(columns), dtype=torch.uint8, device="cuda")
        sums = torch.empty(nodes, columns, dtype=torch.int32, device="cuda")
        for place, (blocks, (narrow, chunk)) in enumerate(itertools.product(BLOCKS, THRESHOLDS)):
            if place % len(THRESHOLDS) != 1 and place >= len(THRESHOLDS):
                continue  # thresholds are varied for the first kind of block alone
            how = launch.Specialization.of(graph, x)._replace(warps=blocks[0], blocks=blocks[1])
            wanted.add(how)
            for kind, result, out in (("fused", rescale, fused), ("sums", None, sums)):
                variants[bits, kind, *blocks, narrow, chunk] = (
                    lambda how=how, x=x, result=result, out=out, narrow=narrow, chunk=chunk: launch.launch(
                        how, graph, x, result, out, narrow=narrow, chunk=chunk
                    )
                )
    variants |= _references(rowptr, col, columns)
    device = torch.cuda.current_device()
    with ThreadPoolExecutor() as pool:  # NVRTC compiles beside Python
        capability = torch.cuda.get_device_capability()
        list(pool.map(lambda how: launch.compiled(how, capability), wanted))
    for how in wanted:
        launch.kernel(how, device)
    times = _times(variants)
    best: dict[tuple[Any, ...], tuple[float, Any]] = {}
    for bits in BITS:  # the same operation by Triton
        x = random_rows(nodes, columns, IntegerRange(bits, True), "cuda")
        with kernels.using("triton"):
            for _ in range(2):
                kernels.aggregate(rowptr, col, weight, x)
            times |= _times({(bits, "triton sums"): lambda x=x: kernels.aggregate(rowptr, col, weight, x)})
    for (bits, kind, *rest), value in times.items():
        best[bits, kind] = min(best.get((bits, kind), (float("inf"), None)), (value, rest))
    for (bits, kind), (value, rest) in best.items():
        usual = times.get((bits, kind, *BLOCKS[0], 64, 256), float("nan"))
        print(f"{name} {columns} {bits} {kind}: {value:.1f} us by {rest}; usual {usual:.1f}", flush=True)
    return [{"graph": name, "width": columns, "variant": list(key), "us": value} for key, value in times.items()]


def _references(rowptr: Tensor, col: Tensor, columns: int) -> dict[tuple[Any, ...], Callable[[], object]]:
    nodes = rowptr.numel() - 1
    found: dict[tuple[Any, ...], Callable[[], object]] = {}
    for dtype in (torch.float32, torch.float16):
        x = torch.randn(nodes, columns, device="cuda", dtype=dtype)
        weight = torch.rand(col.numel(), device="cuda", dtype=dtype)
        matrix = torch.sparse_csr_tensor(rowptr, col, weight, (nodes, nodes), check_invariants=False)
        out, own = torch.empty_like(x), torch.empty_like(x)
        found["cuSPARSE", str(dtype)] = lambda matrix=matrix, x=x, out=out: torch.mm(matrix, x, out=out)
        found["own", str(dtype)] = lambda weight=weight, x=x, own=own: float_aggregate(rowptr, col, weight, x, own)
        difference = (float_aggregate(rowptr, col, weight, x) - torch.mm(matrix, x)).abs().max()
        print(f"{dtype}: own scheduling and cuSPARSE differ by {float(difference):.3g} at most", flush=True)
    return found


def _linears(rows: int, inputs: int, outputs: int) -> list[dict[str, Any]]:
    variants: dict[tuple[Any, ...], Callable[[], object]] = {}
    row = FixedPoint.nearest(torch.rand(rows, 1, device="cuda"), 26)
    for bits in (8, 4, 2):
        x = Matrix.of(random_rows(rows, inputs, IntegerRange(bits, False), "cuda"))
        weight = Matrix.of(random_rows(inputs, outputs, IntegerRange(bits, True), "cuda"))
        scale = 1e-4 * (1 + torch.rand(outputs, dtype=torch.float64, device="cuda"))
        offered = IntegerRange(bits, True)
        rescale = Rescale.of(Requantization.from_scales(scale, None, 26, offered, 0), row)
        out = torch.empty(rows, offered.row_bytes(outputs), dtype=torch.uint8, device="cuda").view(
            offered.storage_dtype
        )
        for tile in TILES:
            variants[bits, *tile] = lambda x=x, weight=weight, rescale=rescale, out=out, tile=tile: linear(
                x, weight, rescale, out, tile
            )
    times = _times(variants)
    for bits in (8, 4, 2):
        shown = ", ".join(f"{key[1:]} {value:.1f}" for key, value in times.items() if key[0] == bits)
        print(f"linear {rows}x{inputs}x{outputs} {bits} bits: {shown} us", flush=True)
    return [{"size": [rows, inputs, outputs], "variant": list(key), "us": value} for key, value in times.items()]


def _times(variants: dict[tuple[Any, ...], Callable[[], object]]) -> dict[tuple[Any, ...], float]:
    """Return median microseconds; a variant that fails is left out, and its reason printed."""
    events: dict[tuple[Any, ...], list[tuple[torch.cuda.Event, torch.cuda.Event]]] = {}
    other = torch.empty(2**26, dtype=torch.uint8, device="cuda")
    for key, call in list(variants.items()):
        try:
            call()
        except Exception as error:  # a variant may need more than the card has
            print(f"{key} fails: {str(error)[:300]}", flush=True)
            continue
        events[key] = []
    for _ in range(REPEATS):
        for key, pairs in events.items():
            other.zero_()
            pair = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            pair[0].record()
            variants[key]()
            pair[1].record()
            pairs.append(pair)
    torch.cuda.synchronize()
    return {
        key: 1e3 * statistics.median(first.elapsed_time(last) for first, last in pairs) for key, pairs in events.items()
    }


if __name__ == "__main__":
    typer.run(main)
