"""Passes over the blocks of a graph, in which a network is executed block by block."""

from collections.abc import Sequence
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
    """Return the passes of a network.

    A step that reads neighbours needs its sources whole: an earlier pass computes and keeps them. It is executed once,
    so that its result is kept, too, if a later pass reads it. All else is computed anew in each pass that needs it,
    from the same block of its sources, and never whole.

    Args:
        steps: the steps of the network in execution order.
    """
    last, level = len(steps), [0]  # of each value: the first pass in which it can be computed
    for step in steps:
        level.append(max(level[source] for source in step.sources) + step.reads_neighbours)
    kept = {source for step in steps if step.reads_neighbours for source in step.sources}
    while True:
        traces = {value: _Trace.of(steps, value, kept, level) for value in kept | {last}}
        late = {
            value
            for target, trace in traces.items()
            for value in trace.computed
            if value and steps[value - 1].reads_neighbours and level[value] < level[target]
        }
        if late <= kept:
            break
        kept |= late
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
        read: values kept whole by earlier passes.
    """

    computed: frozenset[int]
    read: frozenset[int]

    @classmethod
    def of(cls, steps: Sequence[IntegerStep], target: int, kept: set[int], level: Sequence[int]) -> "_Trace":
        computed, read, waiting = set(), set(), [target]
        while waiting:
            value = waiting.pop()
            if value in kept and level[value] < level[target]:
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
