"""Table of the best network's components, with their cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from markupsafe import Markup

from mixq_rl.agents.quantities import power_of_ten
from mixq_rl.agents.records.result import ComponentShare, RunResult
from mixq_rl.agents.report.rendering import render

__all__ = ["component_table"]

_MOST_BITS = 8


def component_table(result: RunResult) -> Markup:
    """Return a table of the components, grouped by layer under the layer's totals; the network's totals come last."""
    whole = sum(share.bitops for share in result.shares)
    layers = [list(members) for _, members in groupby(result.shares, key=lambda share: share.layer)]
    return render(
        "components.html.j2",
        layers=[(_total(f"layer {members[0].layer + 1}", members, whole), members) for members in layers],
        all=_total("all", result.shares, whole),
        whole=whole,
        greatest=max(share.bitops for share in result.shares),
        most_bits=_MOST_BITS,
    )


@dataclass(frozen=True)
class _Total:
    """Totals of several components.

    Attributes:
        name: first cell of the row.
        bytes, float_bytes: bytes of their values as they are stored, and in float32.
        share: fraction of the network's bit operations.
        bitops: bit operations, with their unit.
        reduction: of their bit operations against float32; None if they have no bit operations.
        seconds: of the operations that compute them.
    """

    name: str
    bytes: int
    float_bytes: int
    share: float
    bitops: str
    reduction: float | None
    seconds: float


def _total(name: str, shares: Sequence[ComponentShare], whole: float) -> _Total:
    bitops = sum(share.bitops for share in shares)
    unit = power_of_ten([bitops])
    return _Total(
        name,
        bytes=sum(share.bytes for share in shares),
        float_bytes=sum(share.float_bytes for share in shares),
        share=bitops / whole,
        bitops=f"{unit.write(bitops)}·{unit.name}".rstrip("·"),
        reduction=sum(share.float_bitops for share in shares) / bitops if bitops else None,
        seconds=sum(share.seconds for share in shares),
    )
