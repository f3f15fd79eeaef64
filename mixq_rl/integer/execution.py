"""Execution of integer networks: step by step, or all steps in one native call."""

from collections.abc import Sequence
from typing import Any, Protocol

from mixq_rl import kernels
from mixq_rl.metering import is_metered
from mixq_rl.nn.step import IntegerStep, Signature
from mixq_rl.quantization import QTensor, Quantizer

__all__ = ["PreparedGraph", "execute", "execute_steps"]


class Network(Protocol):
    """What is executed: see the attributes of :class:`mixq_rl.IntegerModel`."""

    @property
    def input(self) -> Quantizer: ...

    @property
    def steps(self) -> tuple[IntegerStep, ...]: ...

    @property
    def signatures(self) -> tuple[Signature, ...]: ...

    @property
    def finished(self) -> tuple[tuple[int, ...], ...]: ...


class PreparedGraph(tuple[Any, ...]):
    """What each step of a network needs of a graph, quantized, and the network's pipeline for this graph.

    The pipeline is made at the first execution on a CPU and kept with the memory of its intermediate results.
    """

    _pipelines: dict[Any, tuple[Network, kernels.Pipeline | None]]

    def pipeline(self, model: Network, x: QTensor) -> kernels.Pipeline | None:
        """Return the pipeline of a model for an input like ``x``, or None if a step is not a single native call."""
        engine = kernels.cpu_engine()
        if engine is None:
            return None
        key = id(model), engine, x.shape[1]
        known = self.__dict__.setdefault("_pipelines", {})
        held, pipeline = known.get(key, (None, None))
        if held is not model or (pipeline is not None and not pipeline.is_current):
            calls = _calls(model, self)
            pipeline = None if calls is None else kernels.Pipeline(engine, x.shape[1], model.input.range, calls)
            known.clear()  # the memory of one pipeline at a time
            known[key] = model, pipeline
        return pipeline


def _calls(model: Network, prepared: Sequence[Any]) -> list[kernels.Call] | None:
    calls = []
    for step, of_graph in zip(model.steps, prepared, strict=True):
        call = step.call([model.signatures[source] for source in step.sources], of_graph)
        if call is None:
            return None
        calls.append(call)
    return calls


def execute(model: Network, x: QTensor, prepared: Sequence[Any]) -> QTensor:
    """Return the integers of the last step; for arguments see :meth:`mixq_rl.IntegerModel.execute`."""
    is_plain = kernels.is_plain() and not is_metered() and x.payload.data.device.type == "cpu"
    if is_plain and isinstance(prepared, PreparedGraph) and _fits(model, x):
        pipeline = prepared.pipeline(model, x)
        if pipeline is not None:
            last, result = model.steps[-1], model.signatures[-1]
            return QTensor(pipeline(x.payload, x.row), last.scale, result.zero_point)
    return execute_steps(model, x, prepared)


def _fits(model: Network, x: QTensor) -> bool:
    source = model.input
    return (x.range, x.zero_point) == (source.range, source.zero_point) and (
        (x.row is None) == (source.row_exponent is None)
    )


def execute_steps(model: Network, x: QTensor, prepared: Sequence[Any]) -> QTensor:
    """Do the same as :func:`execute`, one step after another, as a meter and a GPU need it."""
    values: dict[int, QTensor] = {0: x}
    steps = zip(model.steps, prepared, model.finished, strict=True)
    for index, (step, of_graph, finished) in enumerate(steps, start=1):
        values[index] = step([values[source] for source in step.sources], of_graph)
        for source in finished:
            del values[source]
    return values[len(model.steps)]
