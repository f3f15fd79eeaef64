"""What every quantizable network offers, whatever its layers."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from mixq_rl.adjacency import Adjacency
from mixq_rl.errors import BitWidthError
from mixq_rl.metering import OpMeter
from mixq_rl.nn.component import Component, measure_statistics
from mixq_rl.nn.gcn import IntegerGCNConv
from mixq_rl.quantization import LearnedQuantizer, Quantizer
from mixq_rl.sparse import SparseMatrix

__all__ = ["QuantizableModel"]


class QuantizableModel(nn.Module):
    """A network whose components can each be quantized at a bit-width of their own.

    Subclasses build layers that hold :class:`~mixq_rl.quantization.LearnedQuantizer` modules in execution order, and
    implement the methods that raise NotImplementedError here.

    Attributes:
        components: one entry for each quantizer, in execution order, as measured by :meth:`observe` last.
    """

    def __init__(self) -> None:
        super().__init__()
        self.components: tuple[Component, ...] = ()

    def float_forward(self, x: Tensor | SparseMatrix, adjacency: Adjacency) -> Tensor:
        raise NotImplementedError

    def fake_quantized_forward(self, x: Tensor | SparseMatrix, adjacency: Adjacency) -> Tensor:
        raise NotImplementedError

    def freeze_layers(self) -> tuple[Quantizer, tuple[IntegerGCNConv, ...]]:
        """Return the input's quantizer and the integer layers at the allocation in force.

        Raises:
            BitWidthError: if no allocation is in force.
            SumOverflowError: if an int32 sum might overflow.
        """
        raise NotImplementedError

    def check_sums(self, graph: Adjacency) -> None:
        """Check that no sum over neighbours can overflow at the allocation in force.

        Raises:
            SumOverflowError: naming layer and node.
        """
        raise NotImplementedError

    def prepare_graph(self, edge_index: Tensor, num_nodes: int) -> Adjacency:
        """Return the adjacency that the layers take, made from ``edge_index`` (int64, ``[2, edges]``)."""
        raise NotImplementedError

    def forward(self, x: Tensor | SparseMatrix, graph: Tensor | Adjacency) -> Tensor:
        """Return the logits: float, or fake-quantized while an allocation is in force.

        Args:
            x: node features, ``[nodes, in_channels]``, dense, or sparse as training has them.
            graph: ``edge_index`` (int64, ``[2, edges]``) or what :meth:`prepare_graph` made of it.

        Returns:
            ``[nodes, out_channels]``, in the dtype of ``x``.
        """
        if isinstance(graph, Tensor):
            graph = self.prepare_graph(graph, x.shape[0])
        return self.float_forward(x, graph) if self.allocation is None else self.fake_quantized_forward(x, graph)

    @property
    def quantizers(self) -> tuple[LearnedQuantizer, ...]:
        """The components' quantizers in execution order."""
        return tuple(module for module in self.modules() if isinstance(module, LearnedQuantizer))

    @property
    def allocation(self) -> tuple[int, ...] | None:
        """The bit-width of each component, or None while the model runs in float."""
        bits = [quantizer.bits for quantizer in self.quantizers]
        return None if None in bits else tuple(width for width in bits if width is not None)

    @allocation.setter
    def allocation(self, bits: Sequence[int] | None) -> None:
        quantizers = self.quantizers
        if bits is not None and len(bits) != len(quantizers):
            raise BitWidthError(f"an allocation of {len(bits)} bit-widths for {len(quantizers)} components")
        widths = [None] * len(quantizers) if bits is None else [int(width) for width in bits]
        for quantizer, width in zip(quantizers, widths, strict=True):
            if width is not None:
                quantizer.check_bits(width)
        for quantizer, width in zip(quantizers, widths, strict=True):
            quantizer.bits = width

    @contextmanager
    def allocated(self, bits: Sequence[int] | None) -> Iterator[None]:
        """Put an allocation in force inside a ``with`` block."""
        before = self.allocation
        self.allocation = bits
        try:
            yield
        finally:
            self.allocation = before

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Rest dropout and gradients inside a ``with`` block."""
        training = self.training
        self.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            self.train(training)

    def capture(self, x: Tensor, graph: Tensor | Adjacency) -> tuple[Mapping[str, Tensor], OpMeter]:
        """Run the model in float and return each component's real values by name, and what was executed."""
        values: dict[str, Tensor] = {}
        for quantizer in self.quantizers:
            quantizer.observer = lambda tensor, name=quantizer.name: values.__setitem__(name, tensor)
        try:
            with self.evaluating(), self.allocated(None), OpMeter() as meter:
                self(x, graph)
        finally:
            for quantizer in self.quantizers:
                quantizer.observer = None
        return values, meter

    def observe(self, x: Tensor, graph: Tensor | Adjacency) -> tuple[Component, ...]:
        """Measure the components on a graph, keep them as :attr:`components`, and return them."""
        values, meter = self.capture(x, graph)
        layers = list(dict.fromkeys(quantizer.name.rsplit(".", 1)[0] for quantizer in self.quantizers))
        self.components = tuple(
            Component(
                name=quantizer.name,
                kind=quantizer.kind,
                layer=layers.index(quantizer.name.rsplit(".", 1)[0]),
                shape=tuple(values[quantizer.name].shape),
                macs=sum(
                    record.macs
                    for record in meter.records
                    if quantizer.name in (record.left, record.right, record.result)
                ),
                statistics=measure_statistics(values[quantizer.name], quantizer),
            )
            for quantizer in self.quantizers
        )
        return self.components

    def calibrate(self, x: Tensor, graph: Tensor | Adjacency, bit_widths: Sequence[int]) -> None:
        """Give every component a scale and zero point for each bit-width, from the float values on a graph."""
        values, _ = self.capture(x, graph)
        for quantizer in self.quantizers:
            quantizer.calibrate(values[quantizer.name], bit_widths)
