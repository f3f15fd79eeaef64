"""How fast integers are: aggregation, linear layers and whole networks against the best that float32 offers.

All contestants of one problem take turns in one run. Printed are ratios of medians over the fastest of what float32
users have; beside them float32 with the integer kernels' own scheduling, so that it can be seen what integers alone
give; the bandwidth at which rows are gathered, and what part that is of the ceiling (the same rows read, and nothing
done with them). "Sums" are written as int32, "fused" are requantized to as many bits as were read. Writes
``results/kernels.json`` and ``docs/kernels.png``:

    python benchmarks/kernels.py
"""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import torch
import torch_geometric
import typer
from graphs import SHAPES, power_law_graph
from inference import measure_inference
from measuring import circumstances, interleaved
from native import float_aggregate, gather
from speed_figure import draw
from torch import Tensor

from mixq_rl import kernels
from mixq_rl.nn.bounds import check_aggregate
from mixq_rl.quantization import FixedPoint, IntegerRange, PackedRows, Requantization
from mixq_rl.sparse import CSR

RESULTS = Path(__file__).parent / "results"
FIGURE = Path(__file__).parent.parent / "docs" / "kernels.png"
BITS = (8, 4, 2, 1)
WIDTHS = {"cora": (128,), "pubmed": (128,), "arxiv": (100, 128, 256), "products": (100, 128, 256)}
PRODUCTS = ((2708, 1433, 128), (19717, 500, 128))
# Message passing by scatter holds a float for every edge and feature.
SCATTER_LIMIT = 4 * 2**30
OWN = "float32, our scheduling"
SEEN = 1000  # rows that are compared

Contestant = Callable[[], object]


def main(
    shape: Annotated[list[str], typer.Option(help=f"Repeatable; of {', '.join(SHAPES)}.")] = list(SHAPES),  # noqa: B006
    seconds: Annotated[float, typer.Option(help="For each problem.")] = 4.0,
    device: str = "cpu",
) -> None:
    torch.manual_seed(0)
    warnings.simplefilter("ignore", UserWarning)  # torch's, that CSR tensors are in beta
    document = circumstances("kernels.py", device) | {"aggregate": [], "linear": [], "inference": []}
    for name in shape:
        rowptr, col = (tensor.to(device) for tensor in power_law_graph(SHAPES[name], seed=0))
        for width in WIDTHS[name]:
            document["aggregate"].append({"graph": name, "width": width, **_aggregate(rowptr, col, width, seconds)})
            _print_aggregate(document["aggregate"][-1])
    for size in PRODUCTS:
        document["linear"].append({"size": size, **_linear(*size, seconds, device)})
        _print_linear(document["linear"][-1])
    for name in [name for name in ("cora", "arxiv") if name in shape]:
        document["inference"].append({"graph": name, **measure_inference(name, seconds, device)})
        _print_inference(document["inference"][-1])
    RESULTS.mkdir(exist_ok=True)
    stem = "kernels" if device == "cpu" else f"kernels-{device}"
    (RESULTS / f"{stem}.json").write_text(json.dumps(document, indent=2) + "\n")
    if device == "cpu" and len(shape) == len(SHAPES):
        draw(document, FIGURE)


def _aggregate(rowptr: Tensor, col: Tensor, width: int, seconds: float) -> dict[str, Any]:
    nodes, edges, device = rowptr.numel() - 1, col.numel(), rowptr.device
    check_aggregate("benchmark", CSR(rowptr, col, nodes), IntegerRange(8, False), 0, IntegerRange(8, True), 0)
    x, weight = torch.randn(nodes, width, device=device), torch.rand(edges, device=device)
    contestants = _float_aggregates(rowptr, col, weight, x)
    users = [name for name in contestants if name != OWN]
    out = torch.empty(nodes, width, dtype=torch.int32, device=device)
    alpha = torch.randint(0, 256, (edges,), dtype=torch.uint8, device=device)
    row = FixedPoint.nearest(torch.rand(nodes, 1, device=device), 30)
    for bits in BITS:
        packed = _random_rows(nodes, width, IntegerRange(bits, True), device)
        bias = torch.zeros(width, dtype=torch.float64, device=device)
        scale = torch.tensor(1e-3, dtype=torch.float64, device=device)
        result = Requantization.from_scales(scale, bias, row.exponent, IntegerRange(bits, False), 0)
        contestants |= {
            f"sums {bits}": lambda x=packed: kernels.aggregate(rowptr, col, alpha, x, out=out),
            f"fused {bits}": lambda x=packed, result=result: kernels.aggregate_requantize(
                rowptr, col, alpha, x, result, row=row
            ),
        }
        if device.type == "cpu":
            contestants[f"ceiling {bits}"] = lambda x=packed: gather(col, x.data)
    times = interleaved(contestants, seconds, device.type)
    best = min(users, key=times.__getitem__)
    return {
        "milliseconds": {name: 1e3 * value for name, value in times.items()},
        "best_float": best,
        "ratio": {name: times[best] / value for name, value in times.items()},
        "gathered_gigabytes_per_second": {
            bits: edges * IntegerRange(bits, True).row_bytes(width) / times[f"sums {bits}"] / 1e9 for bits in BITS
        },
        "of_ceiling": {
            bits: times[f"ceiling {bits}"] / times[f"sums {bits}"] for bits in BITS if f"ceiling {bits}" in times
        },
    }


def _float_aggregates(rowptr: Tensor, col: Tensor, weight: Tensor, x: Tensor) -> dict[str, Contestant]:
    nodes = rowptr.numel() - 1
    matrix = torch.sparse_csr_tensor(rowptr, col, weight, (nodes, nodes), check_invariants=False)
    row = torch.repeat_interleave(torch.arange(nodes, device=col.device), rowptr.diff())
    indices = torch.stack([row, col.long()])
    edge_index = torch_geometric.EdgeIndex(indices, sparse_size=(nodes, nodes), sort_order="row").fill_cache_()
    sparse_out = torch.empty_like(x)
    contestants: dict[str, Contestant] = {
        "torch.mm CSR": lambda: torch.mm(matrix, x, out=sparse_out),
        "EdgeIndex": lambda: edge_index.matmul(x, input_value=weight),
    }
    if col.numel() * x.shape[1] * 4 < SCATTER_LIMIT:
        convolution = torch_geometric.nn.SimpleConv(aggr="sum")
        flipped = indices.flip(0)
        contestants["PyG scatter"] = lambda: convolution(x, flipped, weight)
    if x.device.type == "cpu":
        own_out = torch.empty_like(x)
        contestants[OWN] = lambda: float_aggregate(rowptr, col, weight, x, own_out)
    for name, contestant in contestants.items():
        result = contestant()
        seen = (own_out if result is None else result)[:SEEN]
        expected = torch.mm(matrix, x)[:SEEN]
        torch.testing.assert_close(seen, expected, rtol=1e-3, atol=1e-3, msg=f"{name} computes something else")
    return contestants


def _linear(rows: int, inputs: int, outputs: int, seconds: float, device: str) -> dict[str, Any]:
    x, weight = torch.randn(rows, inputs, device=device), torch.randn(inputs, outputs, device=device)
    float_out = torch.empty(rows, outputs, device=device)
    out = torch.empty(rows, outputs, dtype=torch.int32, device=device)
    contestants: dict[str, Contestant] = {"torch.mm": lambda: torch.mm(x, weight, out=float_out)}
    row = FixedPoint.nearest(torch.rand(rows, 1, device=device), 26)
    for bits in BITS:
        left = _random_rows(rows, inputs, IntegerRange(bits, False), x.device)
        right = _random_rows(inputs, outputs, IntegerRange(bits, True), x.device)
        scale = 1e-4 * (1 + torch.rand(outputs, dtype=torch.float64, device=device))
        result = Requantization.from_scales(scale, None, row.exponent, IntegerRange(bits, True), 0)
        contestants |= {
            f"sums {bits}": lambda x=left, weight=right: kernels.linear(x, weight, out=out),
            f"fused {bits}": lambda x=left, weight=right, result=result: kernels.linear_requantize(
                x, weight, result, row=row
            ),
        }
    signed, right = (torch.randint(-128, 128, tensor.shape, device=device).to(torch.int8) for tensor in (x, weight))
    contestants["torch._int_mm"] = lambda: torch._int_mm(signed, right, out=out)
    times = interleaved(contestants, seconds, device)
    return {
        "milliseconds": {name: 1e3 * value for name, value in times.items()},
        "ratio": {name: times["torch.mm"] / value for name, value in times.items()},
    }


def _random_rows(rows: int, columns: int, offered: IntegerRange, device: torch.device) -> PackedRows:
    data = torch.randint(0, 256, (rows, offered.row_bytes(columns)), dtype=torch.uint8, device=device)
    return PackedRows(data.view(offered.storage_dtype), columns, offered)


def _print_aggregate(entry: dict[str, Any]) -> None:
    best, times = entry["best_float"], entry["milliseconds"]
    floats = ", ".join(
        f"{name} {value:.3f}" for name, value in times.items() if not name.startswith(("sums", "fused", "ceiling"))
    )
    print(f"aggregate, {entry['graph']}, width {entry['width']}: best of float32 is {best} ({floats} ms)")
    for bits in BITS:
        part = f", {entry['of_ceiling'][bits]:.0%} of the ceiling" if bits in entry["of_ceiling"] else ""
        print(
            f"  {bits} bits: sums {times[f'sums {bits}']:.3f} ms, {entry['ratio'][f'sums {bits}']:.2f}x; "
            f"fused {times[f'fused {bits}']:.3f} ms, {entry['ratio'][f'fused {bits}']:.2f}x; "
            f"{entry['gathered_gigabytes_per_second'][bits]:.1f} GB/s{part}",
            flush=True,
        )


def _print_linear(entry: dict[str, Any]) -> None:
    times, ratio = entry["milliseconds"], entry["ratio"]
    print(f"linear, {'x'.join(map(str, entry['size']))}: torch.mm {times['torch.mm']:.3f} ms")
    for name in [name for name in times if name != "torch.mm"]:
        print(f"  {name}: {times[name]:.3f} ms, {ratio[name]:.2f}x", flush=True)


def _print_inference(entry: dict[str, Any]) -> None:
    times = ", ".join(f"{name} {value:.3f} ms" for name, value in entry["milliseconds"].items())
    print(f"inference, {entry['graph']}: {times}")
    print(f"  best of float32 is {entry['best_float']}; " + _ratios(entry["ratio"]), flush=True)


def _ratios(ratio: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.2f}x" for name, value in ratio.items() if name.endswith("bits"))


if __name__ == "__main__":
    typer.run(main)
