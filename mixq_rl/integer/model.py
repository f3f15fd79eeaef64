"""``IntegerModel``, a frozen network that executes on integers: execution, saving, loading."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from mixq_rl.datasets.metrics import ACCURACY, fitting
from mixq_rl.devices import resolve_device
from mixq_rl.errors import ArtifactError, InputError, ScaleError, SumOverflowError
from mixq_rl.graph import Graph
from mixq_rl.integer.execution import PreparedGraph, execute
from mixq_rl.integer.features import check_features
from mixq_rl.integer.graph_memory import Given, prepare_once
from mixq_rl.integer.wiring import infer_signatures, input_width, last_uses
from mixq_rl.kernels import dequantize, quantize
from mixq_rl.nn.model import QuantizableModel
from mixq_rl.nn.step import IntegerStep, Signature, distinct_weights
from mixq_rl.quantization import FeatureScaling, QTensor, Quantizer
from mixq_rl.storage.artifacts import load_artifact, pack, room_for, save_artifact, storable, unpack
from mixq_rl.storage.limits import STEPS

__all__ = ["IntegerModel"]

_KIND = "integer_model"
_VERSION = 6
# What the models of one network have in common at all allocations.
_SHARED = ("components", "classes", "metric", "multi_label", "scaling", "finished")


@storable
@dataclass(frozen=True)
class IntegerModel:
    """Network that executes on integers only.

    A call first quantizes features and adjacency. From there to the integers of the last step, it uses integers only.
    A scale turns the last integers into logits.

    Attributes:
        FILES: names of the files of a saved model.
        input: quantizer of the node features.
        steps: the steps in execution order, counted from 1. A step takes results of earlier steps, or the input, which
            has the number 0.
        components: names of the components in the order of the allocation: that of the input, then those of the steps.
        allocation: bit-width of each component.
        classes: names of the classes in the data that it was trained on; None: 0, 1, 2, ...
        metric: name of the measure in :data:`~mixq_rl.datasets.metrics.metrics` that the network was chosen by.
        multi_label: whether each logit above 0 predicts a label, instead of the greatest logit the class.
        scaling: scaling of the features before they are quantized, or None.

    Raises:
        ValueError: if the steps do not fit each other or the allocation.
        SumOverflowError: if an int32 sum of a product might overflow.
    """

    FILES: ClassVar[tuple[str, ...]] = (f"{_KIND}.json", f"{_KIND}.safetensors")

    input: Quantizer
    steps: tuple[IntegerStep, ...]
    components: tuple[str, ...]
    allocation: tuple[int, ...]
    classes: tuple[str, ...] | None = None
    metric: str = ACCURACY.name
    multi_label: bool = False
    scaling: FeatureScaling | None = None

    def __post_init__(self) -> None:
        executed = {self.components[0] if self.components else "input": self.input.range.bits}
        for step in self.steps:
            for name, bits in step.bits.items():  # steps may share a weight, but not at different bit-widths
                if executed.setdefault(name, bits) != bits:
                    raise ValueError(f"component {name!r} has {executed[name]} bits in one step and {bits} in another")
        fits = len(self.components) == len(self.allocation)
        if not self.steps or not fits or executed != dict(zip(self.components, self.allocation, strict=True)):
            raise ValueError(f"the allocation {self.allocation} is not what its steps have, {executed}")
        if self.scaling is not None and self._width not in (None, self.scaling.factor.numel()):
            raise ValueError(
                f"the features' scaling has {self.scaling.factor.numel()} columns, the steps {self._width}"
            )
        columns = self.signatures[-1].columns  # computed now, to find steps that do not fit
        if self.classes is not None and columns is not None and len(self.classes) < columns:
            raise ValueError(f"{len(self.classes)} classes have names, of {columns}")
        fitting(self.metric, self.multi_label)
        self.finished  # noqa: B018  computed now: torch does not compile the computation

    @cached_property
    def signatures(self) -> tuple[Signature, ...]:
        """Signatures of the input and of each step's result."""
        return infer_signatures(self.input, self.steps)

    @cached_property
    def finished(self) -> tuple[tuple[int, ...], ...]:
        """For each step, the values that no later step takes."""
        return last_uses(self.steps)

    @property
    def num_features(self) -> int | None:
        """Number of features of a node, or None if nothing fixes it."""
        return self._width if self.scaling is None else self.scaling.factor.numel()

    @cached_property
    def _width(self) -> int | None:
        return input_width(self.steps, self.signatures)

    @classmethod
    def assemble(
        cls,
        source: Quantizer,
        steps: tuple[IntegerStep, ...],
        signatures: tuple[Signature, ...],
        like: "IntegerModel",
        allocation: tuple[int, ...],
    ) -> Self:
        """Return a model of steps with known signatures, without further checks.

        Args:
            source: quantizer of the node features.
            steps: the steps in execution order, with the same sources as the steps of ``like``.
            signatures: signatures of the input and of the steps' results.
            like: a model of the same network at any allocation.
            allocation: the allocation of the steps.
        """
        model = object.__new__(cls)
        kept = {name: getattr(like, name) for name in _SHARED}
        model.__dict__.update(kept, input=source, steps=steps, allocation=allocation, signatures=signatures)
        return model

    @property
    def takes_edge_weight(self) -> bool:
        """Whether the network uses edge weights."""
        return any(step.takes_edge_weight for step in self.steps)

    @property
    def classifies_graphs(self) -> bool:
        """Whether the logits are for graphs, not nodes."""
        return self.signatures[-1].pooled

    @property
    def device(self) -> torch.device:
        """Device of the model's tensors."""
        return self.input.scale.device

    def to(self, device: torch.device | str) -> Self:
        """Return the model on another device."""
        tensors: dict[str, Tensor] = {}
        packed = pack(self, "model", tensors)
        return unpack(packed, type(self), "model", {name: held.to(device) for name, held in tensors.items()})

    @classmethod
    def freeze(cls, model: QuantizableModel, allocation: Sequence[int]) -> Self:
        """Freeze ``model`` at one allocation.

        Raises:
            BitWidthError: for a bit-width that was not calibrated, or a wrong number of them.
            SumOverflowError: if an int32 sum might overflow.
        """
        with model.allocated(allocation):
            return cls.of(model, *model.freeze(), allocation)

    @classmethod
    def of(
        cls, model: QuantizableModel, source: Quantizer, steps: Sequence[IntegerStep], allocation: Sequence[int]
    ) -> Self:
        """Return the integer model of the input and steps that ``model`` was frozen to; raises as :meth:`freeze`."""
        names = tuple(quantizer.name for quantizer in model.quantizers)
        return cls(
            source,
            tuple(steps),
            names,
            tuple(int(bits) for bits in allocation),
            classes=model.classes,
            metric=model.metric,
            multi_label=model.multi_label,
            scaling=model.scaling,
        )

    def quantize_features(self, x: Tensor) -> QTensor:
        """Quantize node features, ``[nodes, features]``, floating point, dense or sparse (CSR or COO).

        Raises:
            InputError: for features that are not floating point or not finite, for a wrong number of features, or for
                rows far beyond the calibration data.
        """
        check_features(x, self.num_features)
        try:
            return quantize(x if self.scaling is None else self.scaling(x), self.input)
        except ScaleError as error:
            raise ScaleError(f"features beyond those of training: {error}; normalise them alike") from error

    def quantize_graph(self, graph: Graph) -> PreparedGraph:
        """Return what each step needs of a graph, quantized.

        Raises:
            SumOverflowError: if a node has so many neighbours that an int32 sum might overflow.
        """
        values = self.signatures
        return PreparedGraph(step.prepare(graph, [values[source] for source in step.sources]) for step in self.steps)

    def execute(self, x: QTensor, prepared: Sequence[Any]) -> QTensor:
        """Return the integers of the last step, computed with integer tensors only.

        Args:
            x: result of :meth:`quantize_features`.
            prepared: result of :meth:`quantize_graph`.

        Returns:
            ``[nodes, classes]``, or ``[graphs, classes]`` of a network that pools.
        """
        return execute(self, x, prepared)

    def __call__(
        self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None, batch: Tensor | None = None
    ) -> Tensor:
        """Return the logits for any graph, also for one that was not in training.

        The same tensors are not prepared again; see :func:`~mixq_rl.integer.graph_memory.prepare_once`.

        Args:
            x: node features, ``[nodes, features]``, floating point, dense or sparse (CSR or COO).
            edge_index: int64 or int32, ``[2, edges]``.
            edge_weight: floating point, ``[edges]``; None: all 1.
            batch: int64 ``[nodes]``, the graph of each node; None: there is one graph.

        Returns:
            ``[nodes, classes]``, or ``[graphs, classes]`` of a network that pools, in the dtype of ``x``.

        Raises:
            InputError: for features that :meth:`quantize_features` refuses, edge weights that the network does not
                use, or tensors that are on another device than the model.
            InvalidGraphError: for an edge to a node that does not exist, or tensors that do not fit each other.
            SumOverflowError: if a node has so many neighbours that an int32 sum might overflow.
        """
        if edge_weight is not None and not self.takes_edge_weight:
            raise InputError("this network has no use for edge weights: leave edge_weight out")
        given = {"x": x, "edge_index": edge_index, "edge_weight": edge_weight, "batch": batch}
        for name, tensor in given.items():
            if tensor is not None and not isinstance(tensor, Tensor):
                raise InputError(f"{name} must be a tensor, not {type(tensor).__name__}: torch.as_tensor makes it one")
            if tensor is not None and tensor.device != self.device:
                raise InputError(f"{name} is on {tensor.device}, the model is on {self.device}: move one by .to()")
        features = self.quantize_features(x)
        prepared = self._prepare(edge_index, x.shape[0], edge_weight, batch)
        return dequantize(self.execute(features, prepared), x.dtype)

    @torch.compiler.disable(reason="the number of edges of an adjacency depends on which edges are self-loops")
    def _prepare(
        self, edge_index: Tensor, num_nodes: int, edge_weight: Tensor | None, batch: Tensor | None
    ) -> PreparedGraph:
        """Return what each step needs of a graph; ``torch.compile`` compiles the code before and after the call."""
        return prepare_once(self, self.quantize_graph, Given(edge_index, edge_weight, batch), num_nodes)

    @property
    def nbytes(self) -> int:
        """Number of bytes of the packed weights; weights that several steps share count once."""
        return sum(step.nbytes for step in distinct_weights(self.steps))

    def save(self, path: str | PathLike[str]) -> None:
        """Write the model into the folder ``path`` as safetensors and JSON."""
        tensors: dict[str, Tensor] = {}
        save_artifact(Path(path), _KIND, _VERSION, {"model": pack(self, "model", tensors)}, tensors)

    @property
    def room(self) -> int:
        """Bytes that the files of :meth:`save` take at most: a function of the bit-widths, not of the scales."""
        tensors: dict[str, Tensor] = {}
        whole = room_for(_KIND, {"model": pack(self, "model", tensors, share=False)}, tensors)
        return whole - sum(step.nbytes for step in self.steps) + self.nbytes

    @classmethod
    def load(cls, path: str | PathLike[str], device: str | torch.device = "cpu") -> Self:
        """Return the model that :meth:`save` wrote into a folder.

        Args:
            path: path of the folder.
            device: device for the model, by a name of :func:`~mixq_rl.devices.resolve_device`, such as ``"cuda"``.

        Raises:
            ArtifactError: if the model is missing, damaged, of another kind or format version, or could overflow.
            InputError: for a device that does not exist.
        """
        target = resolve_device(device)
        config, tensors = load_artifact(Path(path), _KIND, _VERSION)
        try:
            _check_number_of_steps(config)
            tensors = {name: tensor.to(target) for name, tensor in tensors.items()}
            model: Self = unpack(config.get("model"), cls, "model", tensors)
        except (ArtifactError, SumOverflowError) as error:
            raise ArtifactError(f"{path}: {error}") from error
        return model


def _check_number_of_steps(config: Mapping[str, Any]) -> None:
    model = config.get("model")
    if isinstance(model, dict) and isinstance(steps := model.get("steps"), list):
        STEPS.check(len(steps), "the model")
