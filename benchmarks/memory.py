"""Bytes of weights and features, as counted and as memory of the process, on a graph like ogbn-products.

Each bit-width has its own process. Held memory is the growth of the process when the features are created. Peak memory
is the further growth while the network is executed: messages and aggregates. Writes ``results/memory.json``:

    python benchmarks/memory.py
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from graphs import SHAPES, power_law_graph
from inference import HIDDEN
from measuring import circumstances

from mixq_rl.graph import Graph, Propagation
from mixq_rl.integer.model import IntegerModel
from mixq_rl.nn import QuantizableModel, build_network
from mixq_rl.quantization import FixedPoint, PackedRows, QTensor

RESULTS = Path(__file__).parent / "results" / "memory.json"
SHAPE = SHAPES["products"]
CHUNK = 10_000
FLOAT_BITS = 32
PROPAGATION = Propagation("symmetric", "remaining")


def main(bits: Annotated[int, typer.Option(help="Measure one bit-width in this process.")] = 0) -> None:
    if bits:
        print(json.dumps(_measure_float() if bits == FLOAT_BITS else _measure_integer(bits)))
        return
    document = circumstances("memory.py") | {"bits": {}}
    for width in (FLOAT_BITS, 8, 4, 2, 1):
        command = [sys.executable, __file__, "--bits", str(width)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        measured: dict[str, Any] = json.loads(output)
        document["bits"][width] = measured
        reference = document["bits"][FLOAT_BITS]
        measured["of_float"] = {name: measured[name] / reference[name] for name in ("nbytes", "held", "peak")}
        print(width, json.dumps(measured), flush=True)
    RESULTS.write_text(json.dumps(document, indent=2) + "\n")


def _features(first: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(first)
    return torch.randn(min(CHUNK, SHAPE.nodes - first), SHAPE.features, generator=generator)


def _network() -> QuantizableModel:
    return build_network("gcn", SHAPE.features, SHAPE.classes, hidden_channels=HIDDEN).eval()


def _graph() -> Graph:
    rowptr, col = power_law_graph(SHAPE, seed=0)
    target = torch.repeat_interleave(torch.arange(SHAPE.nodes), rowptr.diff())
    return Graph(torch.stack([col.long(), target]), SHAPE.nodes)


def _measure_float() -> dict[str, int]:
    adjacency, network = _graph().adjacency(PROPAGATION), _network()
    _features(0)
    before = _resident()
    x = torch.empty(SHAPE.nodes, SHAPE.features)
    for first in range(0, SHAPE.nodes, CHUNK):
        x[first : first + CHUNK] = _features(first)
    held = _resident() - before
    matrix = torch.sparse_csr_tensor(adjacency.csr.rowptr, adjacency.csr.col, adjacency.value.float())
    weights = [parameter.detach() for parameter in network.parameters() if parameter.dim() == 2]
    nbytes = x.numel() * 4 + sum(weight.numel() * 4 for weight in weights)
    _forget_peak()
    before = _resident()
    for weight in weights:
        message = x @ weight
        x = matrix @ message
        del message
    return {"nbytes": nbytes, "held": held, "peak": _peak() - before}


def _measure_integer(bits: int) -> dict[str, int]:
    graph, network = _graph(), _network()
    sample = _features(0)
    small = torch.stack([torch.arange(CHUNK), torch.arange(CHUNK).roll(1)])
    network.calibrate(sample, small, (bits,))
    frozen = IntegerModel.freeze(network, [bits] * len(network.quantizers))
    adjacencies = frozen.quantize_graph(graph)
    del graph
    offered = frozen.input.range
    before = _resident()
    data = torch.empty(SHAPE.nodes, offered.row_bytes(SHAPE.features), dtype=offered.storage_dtype)
    row = torch.empty(SHAPE.nodes, 1, dtype=torch.int32)
    for first in range(0, SHAPE.nodes, CHUNK):
        chunk = frozen.quantize_features(_features(first))
        data[first : first + CHUNK] = chunk.payload.data
        assert chunk.row is not None
        row[first : first + CHUNK] = chunk.row.mantissa
    held = _resident() - before
    scales = FixedPoint(row, chunk.row.exponent)
    x = QTensor(PackedRows(data, SHAPE.features, offered), chunk.scale, chunk.zero_point, scales)
    nbytes = x.nbytes + frozen.nbytes
    _forget_peak()
    before = _resident()
    frozen.execute(x, adjacencies)
    return {"nbytes": nbytes, "row_scales": row.nbytes, "held": held, "peak": _peak() - before}


def _resident() -> int:
    return _status("VmRSS")


def _peak() -> int:
    return _status("VmHWM")


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith(f"{field}:")]
    return 1024 * int(line.split()[1])


if __name__ == "__main__":
    typer.run(main)
