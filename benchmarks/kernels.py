"""Speed of integers: aggregation, linear layers and whole networks against the fastest float32 implementations.

All implementations of one problem take turns in one run. The program prints ratios of medians over the fastest float32
implementation that users have. It also prints float32 with the scheduling of the integer kernels, which shows the gain
of integers alone, and the bandwidth at which rows are gathered, as a share of the ceiling (a kernel that only reads the
same rows). "Sums" are written as int32, "fused" ones are requantized to the bits of the input. The quantization of
features is compared with torch's. Writes ``results/kernels.json`` and ``docs/kernels.png``; entries of graphs that are
not measured stay as they are:

    python benchmarks/kernels.py
"""

import json
import warnings
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from contestants import BITS, OWN, Contestant, float_aggregates, integer_aggregates, integer_linears, random_rows
from graphs import SHAPES, power_law_graph
from inference import measure_inference
from measuring import circumstances, interleaved
from native import gather
from quantizing import measure_quantizing, print_quantizing
from rivals import product_rivals
from speed_figure import draw
from torch import Tensor

from mixq_rl.nn.bounds import check_aggregate
from mixq_rl.quantization import IntegerRange
from mixq_rl.sparse import CSR

RESULTS = Path(__file__).parent / "results"
FIGURE = Path(__file__).parent.parent / "docs" / "kernels.png"
WIDTHS = {"cora": (128,), "pubmed": (128,), "arxiv": (100, 128, 256), "products": (100, 128, 256)}
PRODUCTS = ((2708, 1433, 128), (19717, 500, 128), (4096, 4096, 256))
MIXED = ((1, 2), (2, 1), (1, 4), (4, 1), (2, 4), (4, 2))


def main(
    shape: Annotated[list[str], typer.Option(help=f"Repeatable; of {', '.join(SHAPES)}.")] = list(SHAPES),  # noqa: B006
    seconds: Annotated[float, typer.Option(help="For each problem.")] = 4.0,
    device: str = "cpu",
) -> None:
    torch.manual_seed(0)
    warnings.simplefilter("ignore", UserWarning)  # torch's, that CSR tensors are in beta
    document = circumstances("kernels.py", device) | {"aggregate": [], "linear": [], "quantize": [], "inference": []}
    for name in shape:
        rowptr, col = (tensor.to(device) for tensor in power_law_graph(SHAPES[name], seed=0))
        for width in WIDTHS[name]:
            document["aggregate"].append({"graph": name, "width": width, **_aggregate(rowptr, col, width, seconds)})
            _print_aggregate(document["aggregate"][-1])
    for size in PRODUCTS:
        document["linear"].append({"size": size, **_linear(*size, seconds, device)})
        _print_linear(document["linear"][-1])
    for name in [name for name in ("cora", "arxiv") if name in shape]:
        document["quantize"].append({"graph": name, **measure_quantizing(name, seconds, device)})
        print_quantizing(document["quantize"][-1])
        document["inference"].append({"graph": name, **measure_inference(name, seconds, device)})
        _print_inference(document["inference"][-1])
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / ("kernels.json" if device == "cpu" else f"kernels-{device}.json")
    if path.exists() and len(shape) < len(SHAPES):
        _keep_others(document, json.loads(path.read_text()), shape)
    path.write_text(json.dumps(document, indent=2) + "\n")
    if device == "cpu" and len({entry["graph"] for entry in document["aggregate"]}) == len(SHAPES):
        draw(document, FIGURE)


def _keep_others(document: dict[str, Any], before: dict[str, Any], measured: list[str]) -> None:
    """Keep the entries of graphs that were not measured this time, with what they were measured by."""
    circumstances = {name: before[name] for name in ("command", "date")}
    for part in ("aggregate", "quantize", "inference"):
        others = [{**circumstances, **entry} for entry in before.get(part, []) if entry["graph"] not in measured]
        document[part] = sorted([*document[part], *others], key=lambda entry: list(SHAPES).index(entry["graph"]))


def _aggregate(rowptr: Tensor, col: Tensor, width: int, seconds: float) -> dict[str, Any]:
    nodes, edges, device = rowptr.numel() - 1, col.numel(), rowptr.device
    check_aggregate("benchmark", CSR(rowptr, col, nodes), IntegerRange(8, False), 0, IntegerRange(8, True), 0)
    x, weight = torch.randn(nodes, width, device=device), torch.rand(edges, device=device)
    contestants, _ = float_aggregates(rowptr, col, weight, x)
    contestants = {f"float32, {OWN}" if name == OWN else name: call for name, call in contestants.items()}
    users = [name for name in contestants if OWN not in name]
    contestants |= integer_aggregates(rowptr, col, width)
    if device.type == "cpu":
        for bits in BITS:
            rows = random_rows(nodes, width, IntegerRange(bits, True), device).data
            contestants[f"ceiling {bits}"] = lambda rows=rows: gather(col, rows)
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


def _linear(rows: int, inputs: int, outputs: int, seconds: float, device: str) -> dict[str, Any]:
    x, weight = torch.randn(rows, inputs, device=device), torch.randn(inputs, outputs, device=device)
    float_out = torch.empty(rows, outputs, device=device)
    out = torch.empty(rows, outputs, dtype=torch.int32, device=device)
    contestants: dict[str, Contestant] = {"torch.mm": lambda: torch.mm(x, weight, out=float_out)}
    contestants |= integer_linears(rows, inputs, outputs, device, MIXED)
    signed, right = (torch.randint(-128, 128, tensor.shape, device=device).to(torch.int8) for tensor in (x, weight))
    contestants["torch._int_mm"] = lambda: torch._int_mm(signed, right, out=out)
    contestants |= product_rivals(rows, inputs, outputs) if device == "cpu" else {}
    times = interleaved(contestants, seconds, device)
    return {
        "milliseconds": {name: 1e3 * value for name, value in times.items()},
        "ratio": {name: times["torch.mm"] / value for name, value in times.items()},
    }


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
        over_eight = times["sums 8"] / times[name]
        print(f"  {name}: {times[name]:.3f} ms, {ratio[name]:.2f}x; {over_eight:.2f}x over 8 bits", flush=True)


def _print_inference(entry: dict[str, Any]) -> None:
    times = ", ".join(f"{name} {value:.3f} ms" for name, value in entry["milliseconds"].items())
    print(f"inference, {entry['graph']}: {times}")
    print(f"  best of float32 is {entry['best_float']}; " + _ratios(entry["ratio"]), flush=True)


def _ratios(ratio: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.2f}x" for name, value in ratio.items() if name.endswith("bits"))


if __name__ == "__main__":
    typer.run(main)
