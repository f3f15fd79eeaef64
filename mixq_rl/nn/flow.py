"""Flow of values in a network: which operators give and take each component, recorded in an execution."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from mixq_rl.nn.operator import Dropout, Operator, Real
from mixq_rl.quantization import Granularity

__all__ = ["Flow", "recorded_flow"]


@dataclass
class Flow:
    """Record of which operator gave the values of each component, and which operators took them.

    Attributes:
        given: operators, by the name of their result's component.
        taken: operators, by the name of the component that they took.
    """

    given: dict[str, Operator] = field(default_factory=dict)
    taken: dict[str, list[Operator]] = field(default_factory=dict)

    def carries_rows(self, name: str) -> bool:
        """Return whether the rows of a component may have scales of their own: all takers must accept row scales."""
        takers = self.taken.get(name, [])
        gives = name in self.given and self.given[name].gives is Granularity.ROW
        return gives and bool(takers) and all(operator.takes is Granularity.ROW for operator in takers)


@contextmanager
def recorded_flow(model: nn.Module) -> Iterator[Flow]:
    """Record what the operators of a model take and give, in a float execution inside a ``with`` block."""
    flow = Flow()

    def record(operator: Any, inputs: tuple[Any, ...], result: Any) -> None:
        for x in inputs:
            if isinstance(x, Real):
                flow.taken.setdefault(x.name, []).append(operator)
        if isinstance(result, Real):
            flow.given[result.name] = operator

    hooks = [
        module.register_forward_hook(record)
        for module in model.modules()
        if isinstance(module, Operator) and not isinstance(module, Dropout)
    ]
    try:
        yield flow
    finally:
        for hook in hooks:
            hook.remove()
