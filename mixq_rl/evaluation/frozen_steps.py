"""Integer networks of many allocations of one network: each distinct step is frozen once."""

import itertools
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import itemgetter

import torch

from mixq_rl.errors import BitWidthError
from mixq_rl.integer.model import IntegerModel, input_signature
from mixq_rl.nn import QuantizableModel
from mixq_rl.nn.operator import Operator, Program, Symbol
from mixq_rl.nn.step import IntegerStep, Signature
from mixq_rl.quantization import Quantizer

__all__ = ["FrozenStep", "FrozenSteps", "Place"]

_COMBINED = 3


@dataclass(frozen=True, eq=False)
class FrozenStep:
    """A step at the bit-widths that it depends on.

    Attributes:
        step: executes; None for the network's input.
        quantizer: how the result's integers are read.
        signature: of the result.
    """

    step: IntegerStep | None
    quantizer: Quantizer
    signature: Signature


@dataclass(frozen=True, eq=False)
class Place:
    """What the steps at one place of the network have in common, whatever the allocation.

    Attributes:
        operator: makes them.
        sources: which values they take: 0 is the input, k the result of place k - 1.
        result: name of the component that the result belongs to.
        own: indices of the components that a step here is frozen from: its own, and those of its sources.
        all: indices of the components that its result depends on: its own, and those of all steps before it.
    """

    operator: Operator
    sources: tuple[int, ...]
    result: str
    own: tuple[int, ...]
    all: tuple[int, ...]


class FrozenSteps:
    """Freezes allocations of a network with fixed weights; allocations with the same bits for a step share that step.

    Args:
        model: calibrated; neither its weights nor its scales may change from now on.

    Attributes:
        model: as given.
        first: integer model of the first allocation that was frozen, or None.
        places: of the steps, in execution order; none before the first allocation.
    """

    def __init__(self, model: QuantizableModel) -> None:
        self.model = model
        self.first: IntegerModel | None = None
        self.places: tuple[Place, ...] = ()
        self._names: tuple[str, ...] = ()
        self._quantizers = model.quantizers
        self._inputs: dict[int, FrozenStep] = {}
        self._keys: list[Callable[[Sequence[int]], Hashable]] = []
        self._steps: list[dict[Hashable, FrozenStep]] = []

    def freeze(self, allocation: tuple[int, ...]) -> IntegerModel:
        """Return the integer model that :meth:`IntegerModel.freeze` gives.

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
        """Return what one allocation consists of: the input, then the steps.

        Raises:
            BitWidthError: for a bit-width that was not calibrated, or a wrong number of them.
            SumOverflowError: if an int32 sum might overflow.
        """
        if len(allocation) != len(self._quantizers):
            raise BitWidthError(f"an allocation of {len(allocation)} bit-widths for {len(self._quantizers)} components")
        if self.first is None:
            self._trace(allocation)
        source = self._inputs.get(allocation[0])
        if source is None:
            source = self._inputs[allocation[0]] = self._input(allocation)
        values = [source]
        for place, key, known in zip(self.places, self._keys, self._steps, strict=True):
            bits = key(allocation)
            frozen = known.get(bits)
            if frozen is None:
                frozen = known[bits] = self._step(place, [values[index] for index in place.sources], allocation)
            values.append(frozen)
        return values

    def combinations(self, bit_widths: Sequence[int]) -> list[tuple[int, tuple[int, ...]]]:
        """Return steps (from 1) with allocations at which they meet the combinations of bits that they are made for.

        All combinations of a step that depends on up to three components; of more, those in which the first is like
        the fourth, the second like the fifth, and so on. The other components have the most bits.

        Raises:
            BitWidthError, SumOverflowError: as of :meth:`at`, for the most bits.
        """
        count, most = len(self._quantizers), max(bit_widths)
        if self.first is None:
            self._trace((most,) * count)
        found = []
        for step, place in enumerate(self.places, start=1):
            for chosen in itertools.product(bit_widths, repeat=min(len(place.own), _COMBINED)):
                allocation = [most] * count
                for turn, component in enumerate(place.own):
                    allocation[component] = chosen[turn % _COMBINED]
                found.append((step, tuple(allocation)))
        return found

    def _trace(self, allocation: tuple[int, ...]) -> None:
        """Freeze the whole network once: what depends on what is the same at any other allocation."""
        with self.model.allocated(allocation):
            quantizer, program = self.model.program()
        names = tuple(each.name for each in self._quantizers)
        model = IntegerModel(quantizer, tuple(program.steps), names, tuple(allocation))
        index = {name: place for place, name in enumerate(names)}
        places: list[Place] = []
        for step, result, (operator, taken) in zip(program.steps, program.results, program.origins, strict=True):
            own = {index[name] for name in (*step.bits, *(symbol.name for symbol in taken))}
            before = {0, *(at for source in step.sources if source for at in places[source - 1].all)}
            places.append(Place(operator, step.sources, result.name, _ascending(own), _ascending(own | before)))
        self.places = tuple(places)
        self._keys = [itemgetter(*place.own) for place in places]
        self._steps = [{} for _ in places]
        self._names = names
        self.first = model

    def _input(self, allocation: tuple[int, ...]) -> FrozenStep:
        with self._in_force(allocation, (0,)):
            quantizer = self.model.input.quantizer()
        return FrozenStep(None, quantizer, input_signature(quantizer))

    def _step(self, place: Place, sources: Sequence[FrozenStep], allocation: tuple[int, ...]) -> FrozenStep:
        program = Program()
        names = [self._names[0] if not index else self.places[index - 1].result for index in place.sources]
        symbols = tuple(
            Symbol(program, index, source.quantizer, name)
            for index, source, name in zip(place.sources, sources, names, strict=True)
        )
        with self._in_force(allocation, place.own), torch.no_grad():
            symbol = place.operator.freeze(symbols)
        (step,) = program.steps
        return FrozenStep(step, symbol.quantizer, step.infer([source.signature for source in sources]))

    @contextmanager
    def _in_force(self, allocation: tuple[int, ...], components: tuple[int, ...]) -> Iterator[None]:
        """Put the bits of some components in force inside a ``with`` block."""
        before = [self._quantizers[component].bits for component in components]
        try:
            for component in components:
                self._quantizers[component].check_bits(allocation[component])
                self._quantizers[component].bits = allocation[component]
            yield
        finally:
            for component, bits in zip(components, before, strict=True):
                self._quantizers[component].bits = bits


def _ascending(indices: set[int]) -> tuple[int, ...]:
    return tuple(sorted(indices))
