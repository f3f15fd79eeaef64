"""Execution of many allocations of one network on one graph, in which each distinct step is executed once."""

from collections.abc import Callable, Hashable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from torch import Tensor

from mixq_rl.evaluation.frozen_steps import FrozenStep, FrozenSteps
from mixq_rl.evaluation.model_state import ModelState
from mixq_rl.evaluation.recently_used import RecentlyUsed
from mixq_rl.graph import Graph
from mixq_rl.integer.model import IntegerModel
from mixq_rl.metering import OpMeter
from mixq_rl.nn import QuantizableModel
from mixq_rl.quantization import QTensor

__all__ = ["Executed", "OpCost", "SharedExecution"]

_HELD_BYTES = 2**30
_ENTRY_BYTES = 2**10  # of the objects around a result's integers


class OpCost(NamedTuple):
    """Cost of one executed operation, or of several together; see :class:`~mixq_rl.metering.OpRecord`."""

    bitops: float
    product_bitops: float
    bytes: int
    seconds: float

    @classmethod
    def total(cls, costs: Sequence["OpCost"]) -> "OpCost":
        """Return the cost of several operations together, added up in their order, as a meter does."""
        linear, product, size, seconds = zip(*costs, strict=True) if costs else ((), (), (), ())
        return cls(float(sum(linear)), float(sum(product)), sum(size), sum(seconds))


class Executed(NamedTuple):
    """A network, executed on integers.

    Attributes:
        output: integers of the last step.
        costs: costs of the operations, in the order of execution.
    """

    output: QTensor
    costs: list[OpCost]


class _Result(NamedTuple):
    """Integers of a step, and the costs of this step and all steps before it, by step."""

    value: QTensor
    costs: dict[int, tuple[OpCost, ...]]


class SharedExecution:
    """Executes allocations of a network with fixed weights; allocations with the same first bits share executed steps.

    The result of a step depends on the bit-widths of its own components and of all components before them. Allocations
    that agree in these bit-widths share the result. A cache holds results up to a number of bytes and drops the least
    recently used ones first. A step whose result is not in the cache is executed. The data that a step prepares from
    the graph are computed once for each distinct step, as long as :class:`~mixq_rl.evaluation.frozen_steps.FrozenSteps`
    holds it.

    Args:
        model: a calibrated network; see :class:`~mixq_rl.evaluation.frozen_steps.FrozenSteps`.
        x: node features, ``[nodes, features]``.
        graph: the graph that the network is executed on.
        measure: as in :class:`~mixq_rl.evaluation.frozen_steps.FrozenSteps`.
        held_bytes: maximum size of the cache, in bytes.

    Attributes:
        asked: number of steps in the allocations executed so far.
        executed: number of these steps that were not in the cache.
        frozen: the frozen steps.
    """

    def __init__(
        self,
        model: QuantizableModel,
        x: Tensor,
        graph: Graph,
        *,
        measure: Callable[[QuantizableModel], object] | None = None,
        held_bytes: int = _HELD_BYTES,
    ) -> None:
        self.asked = 0
        self.executed = 0
        self.frozen = FrozenSteps(model, measure)
        self._state = ModelState(model)
        self._x, self._graph = x, graph
        self._timed = x.device.type == "cpu"
        self._results: RecentlyUsed[_Result] = RecentlyUsed(held_bytes)
        self._features: dict[FrozenStep, QTensor] = {}
        self._prepared: WeakKeyDictionary[FrozenStep, Any] = WeakKeyDictionary()
        self._keys: list[Callable[[Sequence[int]], Hashable]] = []
        self._last: list[int] = []
        self._finished: list[tuple[int, ...]] = []

    def serves(self, model: QuantizableModel, graph: Graph) -> bool:
        """Return whether this object executes the network on the graph, and the network has not changed since."""
        return model is self.frozen.model and graph is self._graph and self._state.holds()

    def freeze(self, allocation: tuple[int, ...]) -> IntegerModel:
        """Return the integer model that :meth:`execute` executes; raises what :meth:`IntegerModel.freeze` raises."""
        return self.frozen.freeze(allocation)

    def execute(self, allocation: tuple[int, ...]) -> Executed:
        """Return the integers that :meth:`IntegerModel.execute` returns, and the costs.

        The seconds of a step are those of the time when it was executed. On a GPU they are 0.0: the call does not wait
        for the device.

        Raises:
            BitWidthError: for a bit-width that was not calibrated, or a wrong number of them.
            SumOverflowError: if an int32 sum might overflow.
        """
        values = self.frozen.at(allocation)
        if not self._keys:
            self._connect()
        results = self._run(allocation, values, self._last)
        self.asked += len(values) - 1
        costs: dict[int, tuple[OpCost, ...]] = {}
        for result in results.values():
            costs |= result.costs
        in_order = [cost for step in sorted(costs) for cost in costs[step]]
        return Executed(results[len(values) - 1].value, in_order)

    def execute_step(self, allocation: tuple[int, ...], step: int) -> None:
        """Execute one step (counted from 1) and the steps that it takes values from, unless the cache has them."""
        values = self.frozen.at(allocation)
        if not self._keys:
            self._connect()
        self._run(allocation, values, [step])

    def _connect(self) -> None:
        positions = self.frozen.positions
        self._keys = [itemgetter(0), *(itemgetter(*position.depends_on) for position in positions)]
        last = {source: index for index, position in enumerate(positions, start=1) for source in position.sources}
        # Results that no step takes: the logits, and results that nothing uses.
        self._last = [index for index in range(1, len(positions) + 1) if index not in last]
        self._finished = [tuple(s for s, at in last.items() if at == index) for index in range(len(positions) + 1)]

    def _run(self, allocation: tuple[int, ...], frozen: list[FrozenStep], wanted: Sequence[int]) -> dict[int, _Result]:
        """Return the results of the wanted steps; execute those, and their sources, that the cache lacks."""
        positions, last = self.frozen.positions, frozenset(wanted)
        needed, missing, found = set(wanted), [], {}
        for index in range(max(wanted), 0, -1):
            if index not in needed:
                continue
            key = (index, self._keys[index](allocation))
            held = self._results.get(key)
            if held is not None:
                found[index] = held
                continue
            missing.append((index, key))
            needed.update(positions[index - 1].sources)
        if 0 in needed:
            found[0] = _Result(self._quantized(allocation, frozen[0]), {})
        self.executed += len(missing)
        for index, key in reversed(missing):
            sources = positions[index - 1].sources
            result = self._step(index, frozen, [found[source] for source in sources], sources)
            found[index] = result
            if index not in self._last:
                self._results.hold(key, result, _size(result))
            for source in self._finished[index]:
                if source not in last:
                    found.pop(source, None)
        return {index: found[index] for index in wanted}

    def _step(self, index: int, frozen: list[FrozenStep], taken: Sequence[_Result], sources: Sequence[int]) -> _Result:
        here = frozen[index]
        step = here.step
        assert step is not None
        if here not in self._prepared:
            signatures = [frozen[source].signature for source in sources]
            self._prepared[here] = step.prepare(self._graph, signatures)
        with OpMeter(timed=self._timed) as meter:
            value = step([result.value for result in taken], self._prepared[here])
        costs: dict[int, tuple[OpCost, ...]] = {}
        for result in taken:
            costs |= result.costs
        costs[index] = tuple(
            OpCost(record.bitops("linear"), record.bitops("product"), record.bytes, record.seconds)
            for record in meter.records
        )
        return _Result(value, costs)

    def _quantized(self, allocation: tuple[int, ...], source: FrozenStep) -> QTensor:
        if source not in self._features:
            self._features[source] = self.freeze(allocation).quantize_features(self._x)
        return self._features[source]


def _size(result: _Result) -> int:
    row = result.value.row
    return result.value.payload.nbytes + (0 if row is None else row.mantissa.nbytes) + _ENTRY_BYTES
