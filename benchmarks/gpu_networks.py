"""Whole networks on a GPU: the two-layer GCN on integers against PyTorch Geometric's in float32 and float16.

Times are wall-clock times of a call until its result is there: from Python, and as the replay of a CUDA graph where the
call can be captured. The graph is normalised (and, for integers, quantized) before the measurement, because PyTorch
Geometric's layers cache it.
"""

from collections.abc import Iterator
from typing import Any

import torch
from contestants import Contestant
from graphs import SHAPES
from inference import float_networks, integer_networks, network_inputs
from measuring import captured, interleaved

__all__ = ["measure_networks"]

# A captured graph keeps its memory: what holds numbers for every edge and feature is called from Python alone.
CAPTURED_LIMIT = 2 * 2**30
# And with more than this, beside the memory that captured graphs keep, it does not run.
MESSAGES_LIMIT = 8 * 2**30
# Compiling takes longer than all else.
COMPILED = ("arxiv", 256)


def measure_networks(device: str, problems: list[tuple[str, int]], seconds: float) -> Iterator[dict[str, Any]]:
    """Yield an entry for each graph and hidden width."""
    for name, hidden in problems:
        with torch.no_grad():
            entry = _network(device, name, hidden, seconds)
        if device == "cuda":
            torch.cuda.empty_cache()
        yield entry


def _network(device: str, name: str, hidden: int, seconds: float) -> dict[str, Any]:
    x, edge_index = network_inputs(name, device)
    classes = SHAPES[name].classes
    offered: dict[str, Contestant] = {}
    for dtype in (torch.float32, torch.float16) if device == "cuda" else (torch.float32,):
        kind = str(dtype).removeprefix("torch.")
        plain = float_networks(x.to(dtype), edge_index, classes, hidden)
        offered |= {f"{way}, {kind}": call for way, call in plain.items()}
        if device == "cuda" and (name, hidden) == COMPILED:
            offered[f"PyG, edge_index, {kind}, compiled"] = torch.compile(plain["PyG, edge_index"], dynamic=False)
    floats = list(offered)
    offered |= integer_networks(x, edge_index, classes, hidden)

    def messages(way: str) -> int:
        """Bytes of the numbers that a way holds for every edge and feature."""
        scatters = way in floats and "sparse" not in way and "compiled" not in way
        return edge_index.shape[1] * hidden * (2 if "float16" in way else 4) if scatters else 0

    too_large = {
        way: f"holds {messages(way) / 1e9:.0f} GB for its messages" for way in offered if messages(way) > MESSAGES_LIMIT
    }
    contestants, skipped = _working({way: call for way, call in offered.items() if way not in too_large})
    skipped |= too_large
    if device == "cuda":
        for way, call in list(contestants.items()):
            if "quantize" in way or messages(way) > CAPTURED_LIMIT:
                continue
            replay = captured(call)
            if replay is None:
                skipped[f"{way}, CUDA graph"] = "cannot be captured"
            else:
                contestants[f"{way}, CUDA graph"] = replay
    times = interleaved(contestants, seconds, device)
    entry = {
        "graph": name,
        "hidden": hidden,
        "milliseconds": {way: 1e3 * value for way, value in times.items()},
        "skipped": skipped,
        **_ratios(times, [way for way in times if way.startswith(tuple(floats))]),
    }
    _print(entry)
    return entry


def _working(offered: dict[str, Contestant]) -> tuple[dict[str, Contestant], dict[str, str]]:
    """Return those that can be called, and why the others cannot: most often for want of memory."""
    contestants, skipped = {}, {}
    for way, call in offered.items():
        try:
            call()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
        except Exception as error:  # a compiler raises what it likes
            skipped[way] = f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}"
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        else:
            contestants[way] = call
    return contestants, skipped


def _ratios(times: dict[str, float], floats: list[str]) -> dict[str, Any]:
    float32 = [way for way in floats if "float32" in way]
    references = {"float32": min(float32, key=times.__getitem__), "best_float": min(floats, key=times.__getitem__)}
    integers = [way for way in times if way not in floats]
    return {
        "reference": references,
        "ratio": {
            what: {way: times[reference] / times[way] for way in integers} for what, reference in references.items()
        },
    }


def _print(entry: dict[str, Any]) -> None:
    print(f"network, {entry['graph']}, hidden width {entry['hidden']}: best of float {entry['reference']}")
    print("  " + ", ".join(f"{way} {value:.3f}" for way, value in entry["milliseconds"].items()) + " ms")
    for way, reason in entry["skipped"].items():
        print(f"  without {way}: {reason}", flush=True)
