"""Networks whose components can each have a bit-width."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from mixq_rl.devices import deterministic
from mixq_rl.errors import BitWidthError, InputError
from mixq_rl.graph import Graph
from mixq_rl.metering import OpMeter
from mixq_rl.nn.component import Component, measure_graph, measure_statistics
from mixq_rl.nn.flow import recorded_flow
from mixq_rl.nn.linear import Linear
from mixq_rl.nn.node import INPUT, Node, consumers
from mixq_rl.nn.operator import Operator, Program, Real, Symbol, Value
from mixq_rl.nn.step import IntegerStep
from mixq_rl.quantization import (
    FeatureScaling,
    Granularity,
    LearnedQuantizer,
    Quantizer,
    Scheme,
    scale_features,
    schemes,
)
from mixq_rl.sparse import SparseMatrix, as_features

__all__ = ["QuantizableModel"]


class QuantizableModel(nn.Module):
    """Network whose components can each be quantized at a bit-width of their own.

    Args:
        nodes: the nodes in execution order; the last gives the logits.
        input_name: name of the input's component, such as ``"conv1.input"``.

    Attributes:
        components: one entry for each quantizer, in execution order, from the last call of :meth:`observe`.
        scheme: quantization scheme of the last calibration.
        metric, multi_label, classes: metric, kind of labels and names of the classes (None: 0, 1, ...) of the task of
            the last calibration; a frozen network keeps them.
        feature_factor: factors of :attr:`scaling`, or None.
        feature_offset: offsets of :attr:`scaling`, or None.

    Raises:
        InputError: if two components have one name.
    """

    feature_factor: Tensor | None
    feature_offset: Tensor | None

    def __init__(self, nodes: Sequence[Node], *, input_name: str) -> None:
        super().__init__()
        self.scaling = None
        self.components: tuple[Component, ...] = ()
        self.scheme = schemes["lsq"]
        self.metric, self.multi_label = "accuracy", False
        self.classes: tuple[str, ...] | None = None
        self.nodes = tuple(nodes)
        granularity = self._input_granularity()
        affine = granularity is Granularity.TENSOR
        self.input = LearnedQuantizer(input_name, "input", signed=None, affine=affine, granularity=granularity)
        self.layers = nn.ModuleList(node.layer for node in self.nodes)
        names = [quantizer.name for quantizer in self.quantizers]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise InputError(f"two components are called {repeated[0]!r}: give every layer a name of its own")

    @property
    def scaling(self) -> FeatureScaling | None:
        """Scaling of the features, of which the network is a function: with it, its input is the scaled features."""
        if self.feature_factor is None:
            return None
        offset = None if self.feature_offset is None else self.feature_offset.double()
        return FeatureScaling(self.feature_factor.double(), offset)

    @scaling.setter
    def scaling(self, scaling: FeatureScaling | None) -> None:
        # Buffers, which move with the model and are part of its state.
        self.register_buffer("feature_factor", None if scaling is None else scaling.factor)
        self.register_buffer("feature_offset", None if scaling is None else scaling.offset)

    def _input_granularity(self) -> Granularity:
        taken = {getattr(layer, "takes", Granularity.TENSOR) for layer in consumers(self.nodes, INPUT)}
        return taken.pop() if len(taken) == 1 else Granularity.TENSOR

    @property
    def in_channels(self) -> int | None:
        """Number of features of a node, or None if the first layers do not begin with a product that fixes it."""
        for layer in consumers(self.nodes, INPUT):
            first = next((part for part in layer.modules() if isinstance(part, Operator)), None)
            if isinstance(first, Linear):
                return first.weight.shape[0]
        return None

    def reset_parameters(self) -> None:
        """Draw new random weights for all layers."""
        for module in self.modules():
            reset = getattr(module, "reset_parameters", None)
            if isinstance(module, Operator) and callable(reset):
                reset()

    def features(self, x: Tensor) -> Tensor | SparseMatrix:
        """Return node features in the form that trains fastest: sparse if few are not 0 and the layers allow it."""
        is_sparse = self.input.granularity is Granularity.ROW and self.feature_offset is None
        return as_features(x) if is_sparse else x

    def forward(
        self,
        x: Tensor | SparseMatrix,
        graph: Tensor | Graph,
        edge_weight: Tensor | None = None,
        batch: Tensor | None = None,
    ) -> Tensor:
        """Return the logits, in float or, while an allocation is in force, with fake quantization.

        Args:
            x: node features, ``[nodes, in_channels]``, dense or as :meth:`features` returns them.
            graph: the graph, or its ``edge_index`` (int64, ``[2, edges]``).
            edge_weight: floating point, ``[edges]``, or None; only with an ``edge_index``.
            batch: int64 ``[nodes]``, the graph of each node, or None; only with an ``edge_index``.

        Returns:
            ``[nodes, out_channels]``, or ``[graphs, out_channels]`` of a network that pools, in the dtype of ``x``.

        Raises:
            InputError: for features on another device than the model.
        """
        parameter = next(self.parameters(), None)
        if parameter is not None and parameter.device != x.device:
            raise InputError(f"x is on {x.device}, the model is on {parameter.device}: move one by .to()")
        if isinstance(graph, Tensor):
            graph = Graph(graph, x.shape[0], edge_weight=edge_weight, batch=batch)
        if self.training:
            graph = graph.redrawn()
        if self.feature_factor is not None:
            x = scale_features(x, self.feature_factor, self.feature_offset)
        if self.allocation is None:
            result = self._compute(Real(self.input(x), self.input.name), graph)
            assert isinstance(result, Real)
            return result.dense
        quantized = self._compute(self.input.fake_quantize(x, self._protected(graph)), graph)
        assert not isinstance(quantized, Real | Symbol)
        return quantized.to_real()

    def _protected(self, graph: Graph) -> Tensor | None:
        protection = self.scheme.protection
        if not self.training or protection is None:
            return None
        return protection.draw(graph.edge_index, graph.num_nodes, graph.batch)

    def _compute(self, x: Value, graph: Graph | None) -> Value:
        values: dict[str, Value] = {INPUT: x}
        result = x
        for node, layer in zip(self.nodes, self.layers, strict=True):
            result = layer(*(values[source] for source in node.sources), graph=graph)
            values[node.name] = result
        return result

    def freeze(self) -> tuple[Quantizer, tuple[IntegerStep, ...]]:
        """Return the input's quantizer and the integer network at the allocation in force.

        Raises:
            BitWidthError: if no allocation is in force.
        """
        quantizer, program = self.program()
        return quantizer, tuple(program.steps)

    def program(self) -> tuple[Quantizer, Program]:
        """Return the input's quantizer and the program of steps, which also names the operator of each step.

        Raises:
            BitWidthError: if no allocation is in force.
        """
        program = Program()
        quantizer = self.input.quantizer()
        with torch.no_grad():
            self._compute(Symbol(program, 0, quantizer, self.input.name), None)
        return quantizer, program

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
        """Switch off dropout and gradients inside a ``with`` block."""
        training = self.training
        self.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            self.train(training)

    def capture(self, x: Tensor, graph: Tensor | Graph) -> tuple[Mapping[str, Tensor], OpMeter]:
        """Run the model in float; return the real values of each component by name, and a meter of the operations."""
        values: dict[str, Tensor] = {}

        def keep(quantizer: LearnedQuantizer, inputs: Any, x: Tensor | SparseMatrix) -> Tensor:
            values[quantizer.name] = x.to_dense()
            return values[quantizer.name]

        hooks = [quantizer.register_forward_hook(keep) for quantizer in self.quantizers]
        try:
            with deterministic(x.device), self.evaluating(), self.allocated(None), OpMeter() as meter:
                self(x, graph)
        finally:
            for hook in hooks:
                hook.remove()
        return values, meter

    def observe(self, x: Tensor, graph: Tensor | Graph) -> tuple[Component, ...]:
        """Measure the components on a graph, store them as :attr:`components`, and return them."""
        values, meter = self.capture(x, graph)
        of_graph = measure_graph(graph if isinstance(graph, Graph) else Graph(graph, x.shape[0]))
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
                statistics={**measure_statistics(values[quantizer.name], quantizer), **of_graph},
            )
            for quantizer in self.quantizers
        )
        return self.components

    def calibrate(
        self, x: Tensor, graph: Tensor | Graph, bit_widths: Sequence[int], scheme: Scheme = schemes["lsq"]
    ) -> None:
        """Give every component a scale and zero point for each bit-width, from the float values on a graph.

        Args:
            x: node features, ``[nodes, in_channels]``.
            graph: see :meth:`forward`.
            bit_widths: bit-widths to calibrate, each within 1...8.
            scheme: quantization scheme.
        """
        with recorded_flow(self) as flow:
            values, _ = self.capture(x, graph)
        for quantizer in self.quantizers:
            name = quantizer.name
            quantizer.calibrate(values[name], bit_widths, scheme, node_scales=flow.carries_rows(name))
        self.scheme = scheme
