from collections.abc import Sequence

import pytest

import mixq_rl
from mixq_rl.errors import BitWidthError


def test_cache_evaluates_nothing_twice(evaluator: mixq_rl.SupernetEvaluator) -> None:
    asked: list[tuple[int, ...]] = []

    class Counting:
        components = evaluator.components
        bit_widths = evaluator.bit_widths
        reference = evaluator.reference

        def evaluate(self, allocations: Sequence[Sequence[int]]) -> list[mixq_rl.Evaluation]:
            asked.extend(tuple(allocation) for allocation in allocations)
            return evaluator.evaluate(allocations)

    assert isinstance(Counting(), mixq_rl.Evaluator)
    cached = mixq_rl.CachedEvaluator(Counting())
    two, four = (2,) * 9, (4,) * 9
    first = cached.evaluate([two, four, two])
    again = cached.evaluate([four, two])
    assert asked == [two, four]
    assert first[0] is first[2] is again[1]
    assert list(cached.evaluations) == [two, four]
    assert cached.hits == 3


@pytest.mark.parametrize(
    ("allocation", "message"),
    [
        ([2] * 8, "8 bit-widths for 9 components"),
        ([2, 3] + [2] * 7, r"bit-width 3 of component 'conv1.weight' is not among \(2, 4, 8\)"),
    ],
)
def test_cache_refuses_wrong_allocations_before_any_is_evaluated(
    evaluator: mixq_rl.SupernetEvaluator, allocation: Sequence[int], message: str
) -> None:
    cached = mixq_rl.CachedEvaluator(evaluator)
    with pytest.raises(BitWidthError, match=message):
        cached.evaluate([[2] * 9, allocation])
    assert not cached.evaluations
