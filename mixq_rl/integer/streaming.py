"""Execution of integer networks on graphs that are larger than memory, block by block."""

from collections.abc import Iterator

from torch import Tensor

from mixq_rl.errors import InputError, InvalidGraphError
from mixq_rl.integer.model import IntegerModel
from mixq_rl.integer.passes import plan_passes
from mixq_rl.kernels import dequantize
from mixq_rl.quantization import FixedPoint, PackedRows, QTensor
from mixq_rl.row_blocks import MOST_EDGES, MOST_ROWS, EdgeRows, GraphBlock, Rows

__all__ = ["stream"]

_BLOCK_BYTES = 2**26  # of the features of a block, as they are given


def stream(
    model: IntegerModel, x: Rows, edges: EdgeRows, *, most_rows: int | None = None, most_edges: int = MOST_EDGES
) -> Iterator[tuple[range, Tensor]]:
    """Execute a network layer by layer over blocks of nodes, and yield the nodes of each block and their logits.

    The logits are those of ``model(x, edge_index)``, bit by bit. The memory that this takes is that of the packed
    integers between two layers (of the two widest ones, where no layer is skipped), of one block, and of some 9 bytes
    a node for a normalization by degrees. Attention also unpacks what it compares, for all nodes. Features and edges
    are read once for each layer that takes them.

    Args:
        model: network that classifies nodes.
        x: node features, floating point ``[nodes, features]``.
        edges: edges of the graph.
        most_rows: number of nodes in a block; None: so many that the features of a block take 64 MiB, at most 65,536.
        most_edges: number of edges in a block, unless a single node has more.

    Raises:
        InputError: for a network that classifies graphs, or changes edges by a graph function; for features that
            :meth:`~mixq_rl.IntegerModel.quantize_features` refuses; or for blocks without nodes or edges.
        InvalidGraphError: for features and edges that do not fit each other, or a node that does not exist.
        SumOverflowError: if a node has so many neighbours that an int32 sum might overflow.
    """
    if model.classifies_graphs:
        raise InputError("this network classifies graphs: execute it on some graphs at a time, not block by block")
    if len(x.shape) != 2 or x.shape[0] != edges.num_nodes:
        raise InvalidGraphError(f"x has shape {list(x.shape)}, and the edges are those of {edges.num_nodes} nodes")
    if (most_rows is not None and most_rows < 1) or most_edges < 1:
        raise InputError("a block has at least one node and one edge")
    if most_rows is None:
        most_rows = max(1, min(MOST_ROWS, _BLOCK_BYTES // max(1, x.shape[1] * x.dtype.itemsize)))
    edges = edges if model.takes_edge_weight else edges.unweighted()
    return _Stream(model, x, edges).logits(most_rows, most_edges)


class _Stream:
    """Execution of a network on one graph.

    Args:
        model: the network.
        x: node features.
        edges: edges of the graph.
    """

    def __init__(self, model: IntegerModel, x: Rows, edges: EdgeRows) -> None:
        self._model, self._x, self._edges = model, x, edges
        self._kept: dict[int, _Kept] = {}

    def logits(self, most_rows: int, most_edges: int) -> Iterator[tuple[range, Tensor]]:
        """Yield rows and their logits."""
        last = len(self._model.steps)
        for each in plan_passes(self._model.steps):
            made = {value: _Kept(self._edges.num_nodes) for value in each.computed if value != last}
            for rows in self._edges.blocks(most_rows, most_edges):
                block = _Block(self._model, self._x, self._kept, self._edges, rows)
                for value, kept in made.items():
                    kept.append(block.value(value))
                if last in each.computed:
                    yield rows, dequantize(block.value(last), self._x.dtype)
            self._kept.update(made)
            for value in each.released:
                del self._kept[value]


class _Kept:
    """A value that is kept whole, filled block by block.

    Args:
        rows: number of its rows.
    """

    def __init__(self, rows: int) -> None:
        self._rows, self._filled = rows, 0
        self._whole: QTensor | None = None

    def append(self, block: QTensor) -> None:
        """Append rows."""
        if self._whole is None:
            payload, row = block.payload, block.row
            data = payload.data.new_empty(self._rows, payload.data.shape[1])
            mantissa = None if row is None else row.mantissa.new_empty(self._rows, 1)
            self._whole = QTensor(
                PackedRows(data, payload.columns, payload.range),
                block.scale,
                block.zero_point,
                None if row is None or mantissa is None else FixedPoint(mantissa, row.exponent),
            )
        part = self.block(range(self._filled, self._filled + block.shape[0]))
        part.payload.data.copy_(block.payload.data)
        if part.row is not None and block.row is not None:
            part.row.mantissa.copy_(block.row.mantissa)
        self._filled += block.shape[0]

    @property
    def whole(self) -> QTensor:
        assert self._whole is not None
        return self._whole

    def block(self, rows: range) -> QTensor:
        """Return some rows, which share the memory of the whole."""
        whole, place = self.whole, slice(rows.start, rows.stop)
        return QTensor(
            PackedRows.known(whole.payload.data[place], whole.payload.columns, whole.payload.range),
            whole.scale,
            whole.zero_point,
            None if whole.row is None else FixedPoint(whole.row.mantissa[place], whole.row.exponent),
        )


class _Block:
    """The values of some rows, computed when they are asked for.

    Args:
        model: the network.
        x: node features of the graph.
        kept: values that earlier passes kept whole.
        edges: edges of the graph.
        rows: the rows.
    """

    def __init__(self, model: IntegerModel, x: Rows, kept: dict[int, _Kept], edges: EdgeRows, rows: range) -> None:
        self._model, self._x, self._kept, self._rows = model, x, kept, rows
        self._graph = GraphBlock(edges, rows, model.device)
        self._values: dict[int, QTensor] = {}

    def value(self, number: int) -> QTensor:
        """Return the rows of the input (0) or of a step's result."""
        if number in self._kept:
            return self._kept[number].block(self._rows)
        if number not in self._values:
            self._values[number] = self._computed(number)
        return self._values[number]

    def _computed(self, number: int) -> QTensor:
        if number == 0:
            return self._model.quantize_features(self._x[self._rows.start : self._rows.stop].to(self._model.device))
        step, signatures = self._model.steps[number - 1], self._model.signatures
        if not step.reads_neighbours:
            return step([self.value(source) for source in step.sources], None)
        prepared = step.prepare(self._graph, [signatures[source] for source in step.sources])
        return step([self._kept[source].whole for source in step.sources], prepared)
