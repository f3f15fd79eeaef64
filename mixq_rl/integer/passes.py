"""Passes over the blocks of a graph, in which a network is executed block by block."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mixq_rl.nn.step import IntegerStep

__all__ = ["Pass", "plan_passes"]


@dataclass(frozen=True)
class Pass:
    """One pass over all blocks of a graph. Value 0 is a network's input, value k the result of step k.

    Attributes:
        computed: values of which each block is computed: those to keep whole, and, in the last pass, the network's
            result.
        released: values kept whole that no later pass reads.
    """

    computed: tuple[int, ...]
    released: tuple[int, ...]


def plan_passes(steps: Sequence[IntegerStep]) -> tuple[Pass, ...]:
    """Return the passes of a network, in which each step is executed once.

    A step that reads neighbours needs its sources whole: an earlier pass computes and keeps them. A value that passes
    after its own take a block of is kept, too. All others are never whole. The input is not kept for its blocks, which
    can be read again.

    Args:
        steps: the steps of the network in execution order.
    """
    last, level = len(steps), [0]  # of each value: the first pass in which it can be computed
    for step in steps:
        level.append(max(level[source] for source in step.sources) + step.reads_neighbours)
    kept = {source for step in steps if step.reads_neighbours for source in step.sources}
    while True:
        traces = {value: _Trace.of(steps, value, kept, level) for value in kept | {last}}
        wanted = {value for trace in traces.values() for value in trace.read} | _repeated(steps, traces, level)
        if wanted <= kept:
            break
        kept |= wanted
    read_last = {value: level[value] for value in kept}
    for target, trace in traces.items():
        for value in trace.read:
            read_last[value] = max(read_last[value], level[target])
    return tuple(
        Pass(
            tuple(value for value in sorted(traces) if level[value] == number),
            tuple(value for value in sorted(kept) if read_last[value] == number),
        )
        for number in range(level[last] + 1)
    )


@dataclass(frozen=True)
class _Trace:
    """What a block of a value is computed from.

    Attributes:
        computed: values of which the same block is computed, the value itself included.
        read: values that earlier passes must keep whole.
    """

    computed: frozenset[int]
    read: frozenset[int]

    @classmethod
    def of(cls, steps: Sequence[IntegerStep], target: int, kept: set[int], level: Sequence[int]) -> "_Trace":
        computed, read, waiting = set(), set(), [target]
        while waiting:
            value = waiting.pop()
            if level[value] < level[target] and (value in kept or level[value] > 0):
                read.add(value)
                continue
            computed.add(value)
            if value == 0:
                continue
            step = steps[value - 1]
            if step.reads_neighbours:
                read.update(step.sources)
            else:
                waiting.extend(step.sources)
        return cls(frozenset(computed), frozenset(read))


def _repeated(steps: Sequence[IntegerStep], traces: Mapping[int, _Trace], level: Sequence[int]) -> set[int]:
    """Return results that several passes would compute, apart from those that only other such results take."""
    passes: dict[int, set[int]] = {}
    for target, trace in traces.items():
        for value in trace.computed - {0}:
            passes.setdefault(value, set()).add(level[target])
    repeated = {value for value, numbers in passes.items() if len(numbers) > 1}
    others = {source for value in passes.keys() - repeated for source in steps[value - 1].sources}
    return repeated & (others | traces.keys())
