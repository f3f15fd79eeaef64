"""Values that the steps of an integer network hand on: their signatures, last uses, and the width of the input."""

from collections.abc import Sequence

from mixq_rl.nn.step import IntegerStep, Signature, input_signature
from mixq_rl.quantization import Quantizer

__all__ = ["infer_signatures", "input_width", "last_uses"]


def infer_signatures(source: Quantizer, steps: Sequence[IntegerStep]) -> tuple[Signature, ...]:
    """Return the signatures of the input and of each step's result.

    Raises:
        ValueError: if the steps do not fit each other.
        SumOverflowError: if an int32 sum of a product might overflow.
    """
    values = [input_signature(source)]
    for step in steps:
        if not step.sources or not all(0 <= index < len(values) for index in step.sources):
            raise ValueError(f"step {step.result!r} takes values {step.sources}, of which there are {len(values)}")
        values.append(step.infer([values[index] for index in step.sources]))
    return tuple(values)


def last_uses(steps: Sequence[IntegerStep]) -> tuple[tuple[int, ...], ...]:
    """Return, for each step, the values that no later step takes."""
    last = {source: index for index, step in enumerate(steps) for source in step.sources}
    return tuple(tuple(source for source, at in last.items() if at == index) for index in range(len(steps)))


def input_width(steps: Sequence[IntegerStep], signatures: Sequence[Signature]) -> int | None:
    """Return the number of columns that the steps take as input, or None if no step fixes it.

    Args:
        steps: the steps, counted from 1.
        signatures: signatures of the input and of the steps' results.
    """
    as_wide = {0}  # values of as many columns as the input has
    if signatures[0].columns is not None:
        return signatures[0].columns
    for index, step in enumerate(steps, start=1):
        if as_wide.isdisjoint(step.sources):
            continue
        if step.in_columns is not None:
            return step.in_columns
        if step.keeps_columns:
            if signatures[index].columns is not None:
                return signatures[index].columns
            as_wide.add(index)
    return None
