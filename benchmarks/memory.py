"""Bytes of weights and features, as counted and as memory of the process, on graphs like ogbn-arxiv and ogbn-products.

Each bit-width has its own process. Held memory is the growth of the process when the features are created. Peak memory
is the further growth while the network is executed: messages and aggregates. The integer network keeps this memory for
the next execution on the graph: kept memory is what has grown after the execution. Memory that the process had freed
before is used first, and does not show. So "results" is the memory of intermediate results as the network states it.
Writes ``results/memory.json``:

    python benchmarks/memory.py
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from graphs import SHAPES, Shape, power_law_graph
from inference import HIDDEN
from measuring import circumstances

from mixq_rl.graph import Graph
from mixq_rl.integer.model import IntegerModel
from mixq_rl.nn import QuantizableModel, build_network
from mixq_rl.propagation import Propagation
from mixq_rl.quantization import FixedPoint, PackedRows, QTensor

RESULTS = Path(__file__).parent / "results" / "memory.json"
NAMES = ("arxiv", "products")
CHUNK = 10_000
FLOAT_BITS = 32
PROPAGATION = Propagation("symmetric", "remaining")


def main(
    shape: Annotated[str, typer.Option(help="Measure one graph in this process.")] = "",
    bits: Annotated[int, typer.Option(help="Measure one bit-width in this process.")] = 0,
) -> None:
    if bits:
        measured = _measure_float(SHAPES[shape]) if bits == FLOAT_BITS else _measure_integer(SHAPES[shape], bits)
        print(json.dumps(measured))
        return
    document = circumstances("memory.py") | {"graphs": {name: _all_widths(name) for name in NAMES}}
    RESULTS.write_text(json.dumps(document, indent=2) + "\n")


def _all_widths(name: str) -> dict[int, dict[str, Any]]:
    measured: dict[int, dict[str, Any]] = {}
    for width in (FLOAT_BITS, 8, 4, 2, 1):
        command = [sys.executable, __file__, "--shape", name, "--bits", str(width)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        own = measured[width] = json.loads(output)
        reference = measured[FLOAT_BITS]
        own["of_float"] = {each: own[each] / reference[each] for each in ("nbytes", "held", "peak")}
        print(name, width, json.dumps(own), flush=True)
    return measured


def _features(shape: Shape, first: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(first)
    return torch.randn(min(CHUNK, shape.nodes - first), shape.features, generator=generator)


def _network(shape: Shape) -> QuantizableModel:
    return build_network("gcn", shape.features, shape.classes, hidden_channels=HIDDEN).eval()


def _graph(shape: Shape) -> Graph:
    rowptr, col = power_law_graph(shape, seed=0)
    target = torch.repeat_interleave(torch.arange(shape.nodes), rowptr.diff())
    return Graph(torch.stack([col.long(), target]), shape.nodes)


def _measure_float(shape: Shape) -> dict[str, int]:
    adjacency, network = _graph(shape).adjacency(PROPAGATION), _network(shape)
    _features(shape, 0)
    before = _resident()
    x = torch.empty(shape.nodes, shape.features)
    for first in range(0, shape.nodes, CHUNK):
        x[first : first + CHUNK] = _features(shape, first)
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


def _measure_integer(shape: Shape, bits: int) -> dict[str, int]:
    graph, network = _graph(shape), _network(shape)
    sample = _features(shape, 0)
    small = torch.stack([torch.arange(CHUNK), torch.arange(CHUNK).roll(1)])
    network.calibrate(sample, small, (bits,))
    frozen = IntegerModel.freeze(network, [bits] * len(network.quantizers))
    adjacencies = frozen.quantize_graph(graph)
    del graph
    offered = frozen.input.range
    before = _resident()
    data = torch.empty(shape.nodes, offered.row_bytes(shape.features), dtype=offered.storage_dtype)
    row = torch.empty(shape.nodes, 1, dtype=torch.int32)
    for first in range(0, shape.nodes, CHUNK):
        chunk = frozen.quantize_features(_features(shape, first))
        data[first : first + CHUNK] = chunk.payload.data
        assert chunk.row is not None
        row[first : first + CHUNK] = chunk.row.mantissa
    held = _resident() - before
    scales = FixedPoint(row, chunk.row.exponent)
    x = QTensor(PackedRows(data, shape.features, offered), chunk.scale, chunk.zero_point, scales)
    nbytes = x.nbytes + frozen.nbytes
    _forget_peak()
    before = _resident()
    frozen.execute(x, adjacencies)
    peak, kept = _peak() - before, _resident() - before
    pipeline = adjacencies.pipeline(frozen, x)
    assert pipeline is not None
    stated = pipeline.memory(shape.nodes)
    return {"nbytes": nbytes, "row_scales": row.nbytes, "held": held, "peak": peak, "kept": kept, "results": stated}


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
