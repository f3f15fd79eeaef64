"""How long a network trains on a GPU, and what the same table for the same seed costs."""

import time
from typing import Any

import torch

import mixq_rl

__all__ = ["measure_training"]


def measure_training(device: str, data_root: str, quick: bool) -> list[dict[str, Any]]:
    """Return seconds of float training and of the supernet's, of the Cora GCN, on each device."""
    entries = []
    for where in dict.fromkeys((device, "cpu")):
        task = mixq_rl.load_task("Cora", data_root, device=where)
        mixq_rl.fit(mixq_rl.build_model("gcn", task), task, epochs=2)  # warm
        started = time.perf_counter()
        model = mixq_rl.fit(mixq_rl.build_model("gcn", task), task, epochs=10 if quick else None)
        _wait(where)
        trained = time.perf_counter()
        mixq_rl.fit_supernet(model, task, (2, 4, 8), epochs=2 if quick else None)
        _wait(where)
        entry = {"device": where, "float": trained - started, "supernet": time.perf_counter() - trained}
        print(f"training on {where}: {entry}", flush=True)
        entries.append(entry)
    return entries


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()
