"""Integer models of many allocations of one network, in which each distinct step is frozen once."""

import copy
import itertools
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import itemgetter
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from mixq_rl.errors import BitWidthError
from mixq_rl.evaluation.recently_used import RecentlyUsed
from mixq_rl.integer.model import IntegerModel
from mixq_rl.nn import QuantizableModel
from mixq_rl.nn.batch_norm import batch_norms
from mixq_rl.nn.operator import Operator, Program, Symbol
from mixq_rl.nn.step import IntegerStep, Signature, distinct_weights, input_signature
from mixq_rl.quantization import Quantizer
from mixq_rl.storage.artifacts import pack, room_for

__all__ = ["FrozenStep", "FrozenSteps", "StepPosition"]

_COMBINED = 3
_HELD_BYTES = 2**28
_ENTRY_BYTES = 2**12  # of the objects around a step's weight


@dataclass(frozen=True, eq=False)
class FrozenStep:
    """A step, frozen at the bit-widths that it depends on.

    Attributes:
        step: the step; None for the network's input.
        quantizer: quantizer of the result.
        signature: signature of the result.
    """

    step: IntegerStep | None
    quantizer: Quantizer
    signature: Signature


@dataclass(frozen=True, eq=False)
class StepPosition:
    """One position in the sequence of steps, with the properties that do not depend on the allocation.

    Attributes:
        operator: the operator that makes the step.
        sources: indices of the operands of the step: 0 is the input, k the result of step k.
        result: name of the component that the result belongs to.
        frozen_from: indices of the components whose bits the step depends on: its own, and those of its sources.
        depends_on: indices of the components whose bits its result depends on: its own, and those of all steps before
            it. If it has measured statistics, the step itself depends on all of them too.
    """

    operator: Operator
    sources: tuple[int, ...]
    result: str
    frozen_from: tuple[int, ...]
    depends_on: tuple[int, ...]


class FrozenSteps:
    """Freezes allocations of a network with fixed weights; allocations with the same bits for a step share that step.

    Rounding changes the means and variances that batch normalisation needs. Those of a step depend on its bits and on
    those of all steps before it, so that a step with batch normalisation is shared by fewer allocations. Those of a
    normalisation that several steps use depend on all bits.

    The steps used last are held, 256 MiB of them.

    Args:
        model: a calibrated network; neither its weights nor its scales may change from now on.
        measure: sets the running statistics of a model for the allocation in force; None: those of ``model`` serve all
            allocations. Not called if there is no batch normalisation, and never with ``model`` itself.

    Attributes:
        model: the network.
        first: integer model of the first allocation that was frozen, or None.
        positions: positions of the steps, in execution order; none before the first allocation.
    """

    def __init__(self, model: QuantizableModel, measure: Callable[[QuantizableModel], object] | None = None) -> None:
        self.model = model
        self.first: IntegerModel | None = None
        self.positions: tuple[StepPosition, ...] = ()
        self._measure = measure if batch_norms(model) else None
        self._frozen = model if self._measure is None else _copy(model)
        self._names: tuple[str, ...] = ()
        self._quantizers = self._frozen.quantizers
        self._inputs: dict[int, FrozenStep] = {}
        self._keys: list[Callable[[Sequence[int]], Hashable]] = []
        self._steps: RecentlyUsed[FrozenStep] = RecentlyUsed(_HELD_BYTES)
        self._room: WeakKeyDictionary[FrozenStep, int] = WeakKeyDictionary()
        self._frame = 0

    def freeze(self, allocation: tuple[int, ...]) -> IntegerModel:
        """Return the integer model that :meth:`IntegerModel.freeze` returns, at the measured statistics.

        Raises:
            BitWidthError: for a bit-width that was not calibrated, or a wrong number of them.
            SumOverflowError: if an int32 sum might overflow.
        """
        source, *frozen = self.at(allocation)
        assert self.first is not None
        steps = tuple(each.step for each in frozen)
        signatures = (source.signature, *(each.signature for each in frozen))
        return IntegerModel.assemble(source.quantizer, steps, signatures, self.first, allocation)  # type: ignore[arg-type]

    def at(self, allocation: tuple[int, ...]) -> list[FrozenStep]:
        """Return the frozen steps of one allocation; the first is the input.

        Raises:
            BitWidthError: for a bit-width that was not calibrated, or a wrong number of them.
            SumOverflowError: if an int32 sum might overflow.
        """
        if len(allocation) != len(self._quantizers):
            raise BitWidthError(f"an allocation of {len(allocation)} bit-widths for {len(self._quantizers)} components")
        measured = self.first is None
        if self.first is None:
            self._trace(allocation)
        source = self._inputs.get(allocation[0])
        if source is None:
            source = self._inputs[allocation[0]] = self._input(allocation)
        values = [source]
        for place, (position, bits_of) in enumerate(zip(self.positions, self._keys, strict=True)):
            key = (place, bits_of(allocation))
            frozen = self._steps.get(key)
            if frozen is None:
                if self._measured(position.operator) and not measured:
                    self._measure_at(allocation)
                    measured = True
                frozen = self._step(position, [values[index] for index in position.sources], allocation)
                assert frozen.step is not None
                self._steps.hold(key, frozen, frozen.step.nbytes + _ENTRY_BYTES)
            values.append(frozen)
        return values

    def size(self, allocation: tuple[int, ...]) -> int:
        """Return the bytes of the integer model's files, its :attr:`~mixq_rl.IntegerModel.room`, step by step.

        Raises:
            BitWidthError, SumOverflowError: as in :meth:`at`.
        """
        values = self.at(allocation)
        if not self._frame:
            model = self.freeze(allocation)
            self._frame = model.room - self._parts(values)
        return self._frame + self._parts(values)

    def _parts(self, values: Sequence[FrozenStep]) -> int:
        for place, value in enumerate(values):
            if value not in self._room:
                self._room[value] = _room(value, place)
        steps = [value.step for value in values if value.step is not None]
        shared = sum(step.nbytes for step in steps) - sum(step.nbytes for step in distinct_weights(steps))
        return sum(self._room[value] for value in values) - shared

    def combinations(self, bit_widths: Sequence[int]) -> list[tuple[int, tuple[int, ...]]]:
        """Return pairs of a step (counted from 1) and an allocation, which together cover the steps' bit-widths.

        A step that depends on up to three components gets an allocation for each combination of their bit-widths. A
        step that depends on more components gets the combinations in which the fourth component has the bits of the
        first, the fifth those of the second, and so on. All other components have the most bits.

        Raises:
            BitWidthError, SumOverflowError: as in :meth:`at`, for the fewest bits.
        """
        count, most = len(self._quantizers), max(bit_widths)
        if self.first is None:
            self._trace((min(bit_widths),) * count)
        found = []
        for step, position in enumerate(self.positions, start=1):
            for chosen in itertools.product(bit_widths, repeat=min(len(position.frozen_from), _COMBINED)):
                allocation = [most] * count
                for turn, component in enumerate(position.frozen_from):
                    allocation[component] = chosen[turn % _COMBINED]
                found.append((step, tuple(allocation)))
        return found

    def _trace(self, allocation: tuple[int, ...]) -> None:
        """Freeze the whole network once, and record the components that each step depends on at every allocation."""
        self._measure_at(allocation)
        with self._frozen.allocated(allocation):
            quantizer, program = self._frozen.program()
        model = IntegerModel.of(self._frozen, quantizer, program.steps, allocation)
        names = model.components
        index = {name: component for component, name in enumerate(names)}
        everything = frozenset(range(len(names)))
        norms = Counter(norm for operator, _ in program.origins for norm in batch_norms(operator))
        positions: list[StepPosition] = []
        for step, result, (operator, taken) in zip(program.steps, program.results, program.origins, strict=True):
            own = {index[name] for name in (*step.bits, *(symbol.name for symbol in taken))}
            before = {0, *(at for source in step.sources if source for at in positions[source - 1].depends_on)}
            if self._measured(operator) and any(norms[norm] > 1 for norm in batch_norms(operator)):
                before |= everything
            positions.append(
                StepPosition(operator, step.sources, result.name, _ascending(own), _ascending(own | before))
            )
        self.positions = tuple(positions)
        self._keys = [
            itemgetter(*(each.depends_on if self._measured(each.operator) else each.frozen_from)) for each in positions
        ]
        self._names = names
        self.first = model

    def _measured(self, operator: Operator) -> bool:
        """Return whether an operator has running statistics that are measured at each allocation."""
        return self._measure is not None and bool(batch_norms(operator))

    def _measure_at(self, allocation: tuple[int, ...]) -> None:
        if self._measure is not None:
            with self._frozen.allocated(allocation):
                self._measure(self._frozen)

    def _input(self, allocation: tuple[int, ...]) -> FrozenStep:
        with self._in_force(allocation, (0,)):
            quantizer = self._frozen.input.quantizer()
        return FrozenStep(None, quantizer, input_signature(quantizer))

    def _step(self, position: StepPosition, sources: Sequence[FrozenStep], allocation: tuple[int, ...]) -> FrozenStep:
        program = Program()
        names = [self._names[0] if not index else self.positions[index - 1].result for index in position.sources]
        symbols = tuple(
            Symbol(program, index, source.quantizer, name)
            for index, source, name in zip(position.sources, sources, names, strict=True)
        )
        with self._in_force(allocation, position.frozen_from), torch.no_grad():
            symbol = position.operator.freeze(symbols)
        (step,) = program.steps
        return FrozenStep(step, symbol.quantizer, step.infer([source.signature for source in sources]))

    @contextmanager
    def _in_force(self, allocation: tuple[int, ...], components: tuple[int, ...]) -> Iterator[None]:
        """Set the bits of some components inside a ``with`` block."""
        before = [self._quantizers[component].bits for component in components]
        try:
            for component in components:
                self._quantizers[component].check_bits(allocation[component])
                self._quantizers[component].bits = allocation[component]
            yield
        finally:
            for component, bits in zip(components, before, strict=True):
                self._quantizers[component].bits = bits


def _copy(model: QuantizableModel) -> QuantizableModel:
    """Return a copy whose statistics can be changed, also where the call is in inference mode."""
    with torch.inference_mode(False):
        return copy.deepcopy(model)


def _room(value: FrozenStep, place: int) -> int:
    """Return the room of the input's quantizer, or of a step, as a part of a model's files, and a constant."""
    tensors: dict[str, Tensor] = {}
    name = f"model.steps.{place - 1}" if value.step else "model.input"
    part = pack(value.step or value.quantizer, name, tensors, share=False)
    return room_for("", {"model": {"steps": [part]} if value.step else {"input": part}}, tensors)


def _ascending(indices: set[int]) -> tuple[int, ...]:
    return tuple(sorted(indices))
