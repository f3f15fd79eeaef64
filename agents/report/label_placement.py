"""Where the names of points go, so that they lie neither on each other nor on other points."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["FONT_SIZE", "ON_A_LINE", "Label", "Mark", "Side", "beside", "place_labels"]

FONT_SIZE = 12.0
"""Of the labels, in the pixels in which all lengths here are given."""

_CHARACTER, _HEIGHT, _BASELINE = 6.8, 14.0, 11.0


@dataclass(frozen=True)
class Side:
    """Where a text may begin, in pixels from what it names.

    Attributes:
        dx, dy: of the text's anchor on its baseline.
        anchor: which end of the text lies there: ``"start"``, ``"middle"`` or ``"end"``.
    """

    dx: float
    dy: float
    anchor: str


ON_A_LINE = (Side(4, -5, "start"), Side(4, 15, "start"))
"""Of the name of a horizontal line, at its left end."""


def beside(radius: float) -> tuple[Side, ...]:
    """Return where the name of a point may go that is drawn with a radius in pixels, the best first."""
    far, near = radius + 3, radius + 1
    return (
        Side(far, 4, "start"),
        Side(-far, 4, "end"),
        Side(0, -far, "middle"),
        Side(0, far + _BASELINE, "middle"),
        Side(near, -near, "start"),
        Side(-near, -near, "end"),
        Side(near, near + 8, "start"),
        Side(-near, near + 8, "end"),
    )


@dataclass(frozen=True)
class Mark:
    """A place that no text may cover.

    Attributes:
        x, y: as a label's.
        radius: in pixels.
    """

    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Label:
    """A text that names something in a plot.

    Attributes:
        text: in one line.
        x, y: of what it names: shares of the plot's width from the left, of its height from the top.
        sides: where it may go, the best first.
        strong: whether it is bold.
    """

    text: str
    x: float
    y: float
    sides: tuple[Side, ...]
    strong: bool = False


@dataclass(frozen=True)
class _Box:
    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: "_Box") -> bool:
        apart = self.right <= other.left or other.right <= self.left
        return not (apart or self.bottom <= other.top or other.bottom <= self.top)


def place_labels(labels: Sequence[Label], marks: Iterable[Mark], width: float, height: float) -> list[Side | None]:
    """Return the side on which each label goes, or None where there is no room.

    Args:
        labels: what matters most first.
        marks: what is drawn.
        width, height: of the plot, in pixels.
    """
    taken = [_around(mark, width, height) for mark in marks]
    found: list[Side | None] = []
    for label in labels:
        free = None
        for side in label.sides:
            box = _box(label, side, width, height)
            inside = box.left >= 0 and box.right <= width and box.top >= 0 and box.bottom <= height
            if inside and not any(box.meets(other) for other in taken):
                free = side
                taken.append(box)
                break
        found.append(free)
    return found


def _around(mark: Mark, width: float, height: float) -> _Box:
    x, y, radius = width * mark.x, height * mark.y, mark.radius
    return _Box(x - radius, y - radius, x + radius, y + radius)


def _box(label: Label, side: Side, width: float, height: float) -> _Box:
    length = _CHARACTER * len(label.text)
    left = width * label.x + side.dx - {"start": 0.0, "middle": length / 2, "end": length}[side.anchor]
    top = height * label.y + side.dy - _BASELINE
    return _Box(left, top, left + length, top + _HEIGHT)
