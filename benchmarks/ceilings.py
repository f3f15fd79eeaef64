"""Upper bounds for aggregation: the bandwidth of a copy, and of rows that are only gathered."""

from typing import Any

import torch
import triton
import triton.language as tl
from graphs import named_graph
from measuring import replayed
from native import gather
from torch import Tensor

__all__ = ["CONFIGURATIONS", "ROW_BYTES", "gather_rows", "gathers", "measure_ceilings"]

ROW_BYTES = (16, 32, 64, 128, 256, 512)
COPIED = 2**31  # bytes
# Loads of 16 bytes a thread has under way at a time, how often it does so, and warps.
CONFIGURATIONS = ((2, 4, 4), (4, 4, 4), (4, 16, 4), (8, 4, 4), (8, 4, 8))


@triton.jit(do_not_specialize=("num_edges",))
def gather_rows(
    x,  # int32 [nodes, row_words]
    col,  # int32 [edges]
    out,  # int32 [programs, words of a tile]
    num_edges,
    row_words: tl.constexpr,
    EDGES: tl.constexpr,  # noqa: N803
    ROUNDS: tl.constexpr,  # noqa: N803
):
    """Read the rows that EDGES * ROUNDS edges name, all words of a row, and keep their exclusive or."""
    words = tl.arange(0, row_words)
    total = tl.full((EDGES, row_words), 0, tl.int32)
    first = tl.program_id(0).to(tl.int64) * (EDGES * ROUNDS)
    for turn in tl.static_range(ROUNDS):
        place = first + turn * EDGES + tl.arange(0, EDGES)
        neighbour = tl.load(col + place, mask=place < num_edges, other=0).to(tl.int64)
        total ^= tl.load(x + neighbour[:, None] * row_words + words[None, :])
    kept = tl.reduce(total, 0, tl.standard._xor_combine)
    tl.store(out + tl.program_id(0).to(tl.int64) * row_words + words, kept)


def gathers(col: Tensor, x: Tensor) -> dict[str, Any]:
    """Return calls that read the row of ``x`` (int32 ``[nodes, words]``) of each edge, one for each configuration."""
    edges, words = col.numel(), x.shape[1]
    calls = {}
    for loads, rounds, warps in CONFIGURATIONS:
        # A thread reads 16 bytes at once, `loads` times before the first is needed.
        block = max(1, warps * 32 * 4 * loads // words)
        programs = triton.cdiv(edges, block * rounds)
        out = torch.empty(programs, words, dtype=torch.int32, device=x.device)

        def call(block=block, rounds=rounds, warps=warps, programs=programs, out=out) -> None:
            gather_rows[(programs,)](x, col, out, edges, words, block, rounds, num_warps=warps)

        calls[f"{loads} loads, {rounds} rounds, {warps} warps"] = call
    return calls


def measure_ceilings(device: str, graphs: list[str], seconds: float) -> dict[str, Any]:
    """Return GB/s: of a copy (read and written), and of gathered rows by graph and bytes of a row."""
    document: dict[str, Any] = {"copy": _copy(device), "gather": {}}
    for name in graphs:
        rowptr, col = named_graph(name, device)
        found = {size: _gather(rowptr.numel() - 1, col, size, seconds / 12) for size in ROW_BYTES}
        document["gather"][name] = found
        rates = ", ".join(f"{size}: {entry['gigabytes_per_second']:.0f}" for size, entry in found.items())
        print(f"gather ceiling, {name}, bytes of a row: GB/s {rates}", flush=True)
    return document


def _gather(nodes: int, col: Tensor, row_bytes: int, seconds: float) -> dict[str, Any]:
    device = col.device.type
    data = torch.randint(0, 256, (nodes, row_bytes), dtype=torch.uint8, device=device)
    on_cpu = {"native": lambda: gather(col, data)}
    times = replayed(on_cpu if device == "cpu" else gathers(col, data.view(torch.int32)), seconds, device)
    best = min(times, key=times.__getitem__)
    return {
        "gigabytes_per_second": col.numel() * row_bytes / times[best] / 1e9,
        "milliseconds": 1e3 * times[best],
        "configuration": best,
    }


def _copy(device: str) -> float:
    count = COPIED if device == "cuda" else 2**27
    source = torch.randint(0, 256, (count,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    seconds = replayed({"copy": lambda: target.copy_(source)}, 0.5, device)["copy"]
    rate = 2 * count / seconds / 1e9
    print(f"copy: {rate:.0f} GB/s read and written", flush=True)
    return rate
