"""An evaluator without a network, for tests of environment and searches."""

from collections.abc import Iterator, Sequence

from mixq_rl.evaluation.protocol import Evaluation, Failure
from mixq_rl.nn import STATISTICS, Component


class LookupTable:
    """The weight costs most, and only there do 2 bits cost accuracy."""

    bit_widths: Sequence[int] = (2, 4, 8)
    reference = Evaluation((32, 32, 32, 32), 0.8, 288.0, 1.0, 4096.0, 1.0)

    def __init__(self) -> None:
        statistics = dict.fromkeys(STATISTICS, 0.1)
        kinds = ("input", "weight", "message", "aggregate")
        self.components = tuple(Component(f"conv1.{kind}", kind, 0, (4, 4), 10, statistics) for kind in kinds)
        self.calls: list[int] = []

    def evaluate(self, allocations: Sequence[Sequence[int]]) -> list[Evaluation]:
        self.calls.append(len(allocations))
        return [self._evaluate(tuple(allocation)) for allocation in allocations]

    def _evaluate(self, allocation: tuple[int, ...]) -> Evaluation:
        accuracy = 0.8 - (0.04 if allocation[1] == 2 else 0.0)
        bitops = float(sum(allocation) + 5 * allocation[1])
        return Evaluation(allocation, accuracy, bitops, self.reference.bitops / bitops, bitops**2, 4096.0 / bitops**2)


class PatchyTable(LookupTable):
    """Some allocations cannot be evaluated.

    Args:
        holes: first two bit-widths of these allocations.
    """

    def __init__(self, *holes: tuple[int, int]) -> None:
        super().__init__()
        self.holes = holes

    def attempt(self, allocations: Sequence[Sequence[int]]) -> Iterator[Evaluation | Failure]:
        self.calls.append(len(allocations))
        for allocation in map(tuple, allocations):
            yield Failure(allocation, "a hole") if allocation[:2] in self.holes else self._evaluate(allocation)
