"""The best network layer by layer: what each component is, and what it costs."""

from collections.abc import Sequence
from itertools import groupby

from mixq_rl.agents.records.result import ComponentShare, RunResult
from mixq_rl.agents.report.markup import Markup, element, joined
from mixq_rl.agents.report.quantities import memory, milliseconds, percent, power_of_ten, shape, times

__all__ = ["component_table"]

_MOST_BITS = 8


def component_table(result: RunResult) -> Markup:
    """Return a table with a body for each layer, its sums first, and the sums of all at the end."""
    total = sum(share.bitops for share in result.shares)
    greatest = max(share.bitops for share in result.shares)
    layers = [list(members) for _, members in groupby(result.shares, key=lambda share: share.layer)]
    return element(
        "div",
        element(
            "table",
            element(
                "thead",
                element(
                    "tr",
                    element("th", "component", element("small", "kind, shape"), scope="col"),
                    _heading("bits", ""),
                    _heading("memory", "float32's"),
                    _heading("BitOPs", "linear"),
                    _heading("time", "ms"),
                ),
            ),
            *(
                element(
                    "tbody",
                    _sums(f"layer {members[0].layer + 1}", "rowgroup", members, total),
                    *(_row(share, total, greatest) for share in members),
                )
                for members in layers
            ),
            # In a body of its own: a foot is printed on each page.
            element("tbody", _sums("all", "rowgroup", result.shares, total), class_="all"),
            class_="components",
        ),
        class_="scroll",
    )


def _row(share: ComponentShare, total: float, greatest: float) -> Markup:
    parts = share.name.split(".")
    # A long name is broken behind a dot, if anywhere.
    name = joined(*(f"{part}." for part in parts[:-1]), parts[-1], between=Markup("<wbr>"))
    # Where there is little room a kind is left out that the name says.
    kind = element("span", f"{share.kind}, ", class_="implied" if parts[-1].startswith(share.kind) else None)
    return element(
        "tr",
        element("th", name, element("small", kind, shape(share.shape)), scope="row"),
        element("td", str(share.bits), _pips(share.bits), class_="number"),
        element("td", memory(share.bytes), element("small", memory(share.float_bytes)), class_="number"),
        element("td", percent(share.bitops / total), _bar(share.bitops / greatest), class_="number"),
        element("td", milliseconds(share.seconds) if share.seconds else "–", class_="number"),
    )


def _sums(name: str, scope: str, shares: Sequence[ComponentShare], total: float) -> Markup:
    bitops = sum(share.bitops for share in shares)
    unit, unit_name = power_of_ten([bitops])
    saved = times(sum(share.float_bitops for share in shares) / bitops) if bitops else ""
    return element(
        "tr",
        element("th", name, scope=scope),
        element("td"),
        element(
            "td",
            memory(sum(share.bytes for share in shares)),
            element("small", memory(sum(share.float_bytes for share in shares))),
            class_="number",
        ),
        element(
            "td",
            percent(bitops / total),
            element("small", f"{bitops / unit:.3f}·{unit_name}".rstrip("·")),
            element("small", saved),
            class_="number",
        ),
        element("td", milliseconds(sum(share.seconds for share in shares)), class_="number"),
        class_="sum",
    )


def _heading(name: str, unit: str) -> Markup:
    return element("th", name, element("small", unit), scope="col", class_="number")


def _pips(bits: int) -> Markup:
    def squares(first: int, last: int) -> str:
        return "".join(f"M{6 * index} 0h5v5h-5z" for index in range(first, last))

    return element(
        "svg",
        element("path", d=squares(0, bits)),
        element("path", d=squares(bits, _MOST_BITS), class_="rest"),
        viewBox=f"0 0 {6 * _MOST_BITS - 1} 5",
        class_="pips",
        aria_hidden="true",
    )


def _bar(share: float) -> Markup:
    return element(
        "svg",
        element("rect", width="100%", height="100%", class_="rest"),
        element("rect", width=f"{100 * share:.2f}%", height="100%"),
        class_="bar",
        aria_hidden="true",
    )
