"""Series of points in the Pareto chart and the Pareto figure: their names, colours and symbols."""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["SERIES", "Colour", "Series"]


@dataclass(frozen=True)
class Colour:
    """A colour on a light and on a dark ground, as ``#rrggbb``.

    Attributes:
        light: on paper and in figures.
        dark: on a dark screen.
    """

    light: str
    dark: str


@dataclass(frozen=True)
class Series:
    """Points that are drawn alike.

    Attributes:
        name: in the legend.
        colour: of the points.
        marker: the symbol, as matplotlib names it; ``templates/chart.html.j2`` draws the same one.
        radius: of the symbol beside a text of :data:`label_placement.FONT_SIZE`, in pixels.
        hollow: whether the symbol is an outline.
    """

    name: str
    colour: Colour
    marker: str | tuple[int, int, int]
    radius: float
    hollow: bool = False


_GREY, _BLUE = Colour("#a3a9b3", "#666d79"), Colour("#0072b2", "#62b6ea")
_ORANGE, _GREEN = Colour("#d55e00", "#f28c4f"), Colour("#00805c", "#3fc79a")

SERIES: Mapping[str, Series] = {
    "evaluated": Series("evaluated in the search", _GREY, "o", 2.5),
    "searched": Series("front, as searched", _BLUE, "o", 4, hollow=True),
    "tuned": Series("mixed bits, fine-tuned", _ORANGE, (4, 0, 0), 6),
    "uniform": Series("one bit-width everywhere", _GREEN, "s", 5),
    "best": Series("best", _ORANGE, "*", 10),
    "below": Series("less accurate than shown", _GREY, "v", 4),
}
"""The series by kind of point, in the order of the legend."""
