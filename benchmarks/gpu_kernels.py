"""Aggregation and linear layers on a GPU: integers against float32, float16 and bfloat16.

Times are medians of CUDA events around replays of CUDA graphs, with the implementations in a new order each round.
Graphs like Cora and PubMed stay in the L2 cache, as in use: a turn is 20 calls. On graphs like ogbn-arxiv and
ogbn-products a turn is one call, and the calls of the other implementations evict its operands from the cache, as other
layers would.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from contestants import BITS, OWN, Contestant, float_aggregates, integer_aggregates, integer_linears
from graphs import named_graph
from measuring import replayed
from torch import Tensor

from mixq_rl.nn.bounds import check_aggregate
from mixq_rl.quantization import IntegerRange
from mixq_rl.sparse import CSR

__all__ = ["measure_aggregates", "measure_linears"]

SMALL = ("cora", "pubmed")
CALLS = 20


def measure_aggregates(
    device: str, problems: Sequence[tuple[str, int, bool]], seconds: float, ceilings: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Yield an entry for each problem.

    Args:
        device: cpu or cuda.
        problems: graph, width, and whether edges have weights.
        seconds: for each problem.
        ceilings: what :func:`~ceilings.measure_ceilings` found of gathered rows, by graph; empty: nothing.
    """
    for name, width, weighted in problems:
        yield _aggregate(device, name, width, seconds, weighted, ceilings.get(name, {}))
        if device == "cuda":
            torch.cuda.empty_cache()


def _aggregate(
    device: str, name: str, width: int, seconds: float, weighted: bool, ceilings: dict[int, Any]
) -> dict[str, Any]:
    rowptr, col = named_graph(name, device)
    nodes, edges = rowptr.numel() - 1, col.numel()
    check_aggregate("benchmark", CSR(rowptr, col, nodes), IntegerRange(8, False), 0, IntegerRange(8, True), 0)
    x, weight = torch.randn(nodes, width, device=device), torch.rand(edges, device=device)
    dtypes = (torch.float32, torch.float16, torch.bfloat16) if device == "cuda" else (torch.float32,)
    contestants, skipped = float_aggregates(rowptr, col, weight, x, dtypes)
    floats = list(contestants)
    contestants |= integer_aggregates(rowptr, col, width, weighted=weighted)
    times = replayed(contestants, seconds, device, CALLS if name in SMALL else 1)
    entry: dict[str, Any] = {
        "graph": name,
        "width": width,
        "weighted": weighted,
        "milliseconds": {name: 1e3 * value for name, value in times.items()},
        "skipped": skipped,
        **_ratios(times, floats),
    }
    entry["gathered_gigabytes_per_second"] = {}
    entry["of_ceiling"] = {}
    for call in entry["ratio"]["best_float"]:
        row_bytes = IntegerRange(int(call.split()[1]), True).row_bytes(width)
        rows_per_second = edges / times[call]
        entry["gathered_gigabytes_per_second"][call] = rows_per_second * row_bytes / 1e9
        # Rows of other lengths are held against the next longer ones that were measured, by their rows a second.
        longer = [size for size in ceilings if size >= row_bytes]
        if longer:
            ceiling = ceilings[min(longer)]["gigabytes_per_second"] * 1e9 / min(longer)
            entry["of_ceiling"][call] = rows_per_second / ceiling
    _print(entry)
    return entry


def _ratios(times: dict[str, float], floats: list[str]) -> dict[str, Any]:
    users = [name for name in floats if not name.startswith(OWN)]
    references = {
        "best_float": min(floats, key=times.__getitem__),
        "best_of_users": min(users, key=times.__getitem__),
        "cusparse_float32": "torch.mm CSR",
    }
    integers = [name for name in times if name.startswith(("sums", "fused"))]
    return {
        **references,
        "ratio": {
            what: {name: times[reference] / times[name] for name in integers} for what, reference in references.items()
        },
    }


def _print(entry: dict[str, Any]) -> None:
    times = entry["milliseconds"]
    floats = ", ".join(f"{name} {value:.3f}" for name, value in times.items() if not name.startswith(("sums", "fused")))
    weights = "" if entry["weighted"] else ", no weights"
    print(f"aggregate, {entry['graph']}, width {entry['width']}{weights}: {floats} ms", flush=True)
    for name, reason in entry["skipped"].items():
        print(f"  without {name}: {reason}")
    best, cusparse = entry["ratio"]["best_float"], entry["ratio"]["cusparse_float32"]
    for bits in BITS:
        parts = [
            f"{kind} {times[f'{kind} {bits}']:.3f} ms {best[f'{kind} {bits}']:.2f}x ({cusparse[f'{kind} {bits}']:.1f}x)"
            for kind in ("sums", "fused")
        ]
        share = entry["of_ceiling"].get(f"fused {bits}")
        print(f"  {bits} bits: {'; '.join(parts)}" + (f"; {share:.0%} of the ceiling" if share else ""), flush=True)


def measure_linears(device: str, sizes: tuple[tuple[int, int, int], ...], seconds: float) -> Iterator[dict[str, Any]]:
    """Yield an entry for each (rows, inputs, outputs); float32 with TF32 off and on."""
    for size in sizes:
        yield _linear(device, *size, seconds)


def _linear(device: str, rows: int, inputs: int, outputs: int, seconds: float) -> dict[str, Any]:
    skipped: dict[str, str] = {}
    contestants = _float_linears(device, rows, inputs, outputs)
    floats = list(contestants)
    contestants |= integer_linears(rows, inputs, outputs, device)
    signed, right = (
        torch.randint(-128, 128, size, device=device).to(torch.int8) for size in ((rows, inputs), (inputs, outputs))
    )
    try:
        torch._int_mm(signed, right)
    except RuntimeError as error:
        skipped["torch._int_mm"] = str(error).splitlines()[0][:200]
    else:
        contestants["torch._int_mm"] = lambda: torch._int_mm(signed, right)
    bytes_of_float = 4 * (rows * inputs + rows * outputs)
    times = replayed(contestants, seconds, device, CALLS if bytes_of_float < 2**25 else 1)
    best = min(floats, key=times.__getitem__)
    others = [name for name in times if name not in floats]
    entry = {
        "size": [rows, inputs, outputs],
        "milliseconds": {name: 1e3 * value for name, value in times.items()},
        "skipped": skipped,
        "best_float": best,
        "ratio": {
            "best_float": {name: times[best] / times[name] for name in others},
            "float32": {name: times["torch.mm float32"] / times[name] for name in others},
        },
    }
    print(f"linear, {rows} x {inputs} x {outputs}: best of float is {best}")
    print("  " + ", ".join(f"{name} {1e3 * value:.3f}" for name, value in times.items()) + " ms", flush=True)
    return entry


def _float_linears(device: str, rows: int, inputs: int, outputs: int) -> dict[str, Contestant]:
    x, weight = torch.randn(rows, inputs, device=device), torch.randn(inputs, outputs, device=device)
    out = torch.empty(rows, outputs, device=device)
    contestants: dict[str, Contestant] = {"torch.mm float32": lambda: torch.mm(x, weight, out=out)}
    if device == "cuda":
        contestants["torch.mm TF32"] = lambda: _with_tf32(x, weight, out)
        for dtype in (torch.float16, torch.bfloat16):
            half: tuple[Tensor, ...] = tuple(tensor.to(dtype) for tensor in (x, weight, out))
            name = f"torch.mm {str(dtype).removeprefix('torch.')}"
            contestants[name] = lambda half=half: torch.mm(half[0], half[1], out=half[2])
    return contestants


def _with_tf32(x: Tensor, weight: Tensor, out: Tensor) -> None:
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        torch.mm(x, weight, out=out)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = False
