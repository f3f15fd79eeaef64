"""Large graphs: time and peak memory of a two-layer GCN on integers, whole and block by block, against PyG in float32.

    python benchmarks/streaming.py --scale 16 --scale 17 --scale 18 --scale 19 --scale 20

The graphs are R-MAT graphs of 2^SCALE nodes and 64 features, written into a temporary folder. The network has a hidden
width of 128, and 4 bits everywhere. Times are medians in one process, in turns. PyG reads an adjacency that was
normalised before, in CSR form with 32-bit indices. Integers are given the same tensors each time ("call"), tensors that
are not known yet ("first call"), or the folder ("streamed", reading it included). Peak memory is that of a
process of its own which does nothing else, the imports included, 0.4 GiB. "Streamed, features as wide as 512" is the
same for a graph whose features alone are larger than what the process may hold. Growth is the ratio of two scales'
times for a doubling of the edges. Writes ``results/streaming.json``.
"""

import itertools
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import torch_geometric
import typer
from measuring import circumstances, interleaved
from torch import Tensor

import mixq_rl
from mixq_rl.datasets.rmat import load_rmat
from mixq_rl.nn import build_network
from mixq_rl.propagation import Propagation

RESULTS = Path(__file__).parent / "results" / "streaming.json"
HIDDEN = 128
BITS = 4
SMALL = 12
WIDE = 512
SECONDS = 20.0
NORMALISED = "normalised_{}.npy"
FLOAT, WHOLE, FIRST, STREAMED = "float32, PyG", "4 bits, call", "4 bits, first call", "4 bits, streamed"
PROCESSES = (FLOAT, FIRST, STREAMED)


def main(
    scale: Annotated[list[int], typer.Option(help="Logarithm of the number of nodes. Repeatable.")],
    folder: Annotated[str, typer.Option(hidden=True)] = "",
    only: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    os.environ["MIXQ_RL_MAX_DATA_BYTES"] = str(2**33)
    if folder:
        print(json.dumps(_peak(Path(folder), only) if only else _times(Path(folder))))
        return
    document = circumstances("streaming.py") | {"hidden": HIDDEN, "bits": BITS, "graphs": {}}
    for each in scale:
        with tempfile.TemporaryDirectory() as made:
            path = Path(made) / "graph.csr"
            document["graphs"][f"rmat-{each}"] = _measured(each, path)
            RESULTS.write_text(json.dumps(document, indent=2) + "\n")
    _add_growth(document["graphs"])
    RESULTS.write_text(json.dumps(document, indent=2) + "\n")


def _measured(scale: int, path: Path) -> dict[str, Any]:
    task = load_rmat(scale)
    mixq_rl.save_graph(path, task.x, task.edge_index)
    nodes, edges = task.num_nodes, task.edge_index.shape[1]
    wide = path.with_name("wide.csr")
    wide.mkdir()
    for name in ("rowptr", "col"):
        (wide / f"{name}.npy").hardlink_to(path / f"{name}.npy")
    np.save(wide / "x.npy", np.tile(task.x.numpy(), (1, WIDE // task.num_features)))
    entries = mixq_rl.Graph(task.edge_index, nodes).adjacency(Propagation("symmetric", "remaining"))
    assert entries.row_scale is not None
    value = entries.value * entries.row_scale[entries.csr.row, 0]
    for name, tensor in {"rowptr": entries.csr.rowptr, "col": entries.csr.col, "value": value.float()}.items():
        np.save(path / NORMALISED.format(name), tensor.numpy())
    del task, entries, value
    row = {"nodes": nodes, "edges": edges, "features_bytes": {"64": 256 * nodes, str(WIDE): 4 * WIDE * nodes}}
    row |= _child(path, "")
    peaks = {name: _child(path, name) for name in PROCESSES}
    peaks[f"{STREAMED}, {WIDE} features"] = _child(wide, STREAMED)
    # Messages of edges that are computed one by one, as a layer does with an edge_index, at the hidden width.
    row |= {"peak_bytes": peaks, "float32_messages_bytes": 4 * HIDDEN * edges}
    print(f"rmat-{scale}", json.dumps(row), flush=True)
    return row


def _child(path: Path, only: str) -> Any:
    command = [sys.executable, __file__, "--scale", "0", "--folder", str(path), "--only", only]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _times(path: Path) -> dict[str, Any]:
    contestants = {name: _contestant(path, name) for name in (FLOAT, WHOLE, FIRST, STREAMED)}
    with torch.no_grad():
        logits = {name: contestant() for name, contestant in contestants.items()}
        if not all(torch.equal(logits[WHOLE], logits[name]) for name in (FIRST, STREAMED)):
            raise AssertionError("the integer networks differ")
        times = interleaved(contestants, SECONDS)
    ratio = {name: times[FLOAT] / value for name, value in times.items()}
    return {"seconds": times, "over_float32": ratio}


def _peak(path: Path, only: str) -> int:
    """Return the peak memory of this process, in bytes, after three executions."""
    contestant = _contestant(path, only)
    with torch.no_grad():
        for _ in range(3):
            contestant()
    status = Path("/proc/self/status").read_text()  # getrusage would count the parent's memory, too
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def _contestant(path: Path, name: str) -> Callable[[], Tensor]:
    folder = mixq_rl.GraphFolder.open(path)
    float_network, integers = _networks(folder.x.shape[1])
    if name == STREAMED:
        return lambda: _joined(integers, mixq_rl.GraphFolder.open(path))
    x = folder.x[:]
    if name == FLOAT:
        matrix = _matrix(path, folder.edges.num_nodes)
        return lambda: float_network(x, matrix)
    edge_index = folder.whole()["edge_index"]
    if name == WHOLE:
        return lambda: integers(x, edge_index)
    return lambda: integers(x, edge_index[:, :])  # another tensor: nothing is known of it


def _joined(network: mixq_rl.IntegerModel, folder: mixq_rl.GraphFolder) -> Tensor:
    logits = torch.empty(folder.edges.num_nodes, network.signatures[-1].columns or 0)
    for rows, block in mixq_rl.stream(network, folder.x, folder.edges):
        logits[rows.start : rows.stop] = block
    return logits


def _networks(features: int) -> tuple[torch.nn.Module, mixq_rl.IntegerModel]:
    """Return GCNs of the same widths with random weights: PyG's, and one of 4 bits, calibrated on a small graph."""
    task = load_rmat(SMALL)
    torch.manual_seed(0)
    float_network = torch_geometric.nn.models.GCN(features, HIDDEN, 2, task.num_classes, normalize=False).eval()
    model = build_network("gcn", features, task.num_classes, hidden_channels=HIDDEN)
    x = task.x.tile(1, features // task.num_features)
    model.calibrate(x, mixq_rl.Graph(task.edge_index, task.num_nodes), [BITS])
    return float_network, mixq_rl.IntegerModel.freeze(model, [BITS] * len(model.quantizers))


def _matrix(path: Path, nodes: int) -> Tensor:
    """Return the normalised adjacency matrix as PyG takes it."""
    rowptr, col, value = (
        torch.from_numpy(np.load(path / NORMALISED.format(name))) for name in ("rowptr", "col", "value")
    )
    return torch.sparse_csr_tensor(rowptr, col, value, (nodes, nodes))


def _add_growth(graphs: dict[str, Any]) -> None:
    rows = list(graphs.values())
    for before, after in itertools.pairwise(rows):
        doublings = math.log2(after["edges"] / before["edges"])
        after["growth_of_seconds"] = {
            name: (after["seconds"][name] / before["seconds"][name]) ** (1 / doublings) for name in after["seconds"]
        }


if __name__ == "__main__":
    typer.run(main)
