"""Placement of labels beside points, so that a label covers no point and no other label."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["FONT_SIZE", "ON_A_LINE", "Label", "Mark", "Side", "beside", "place_labels"]

FONT_SIZE = 12.0
"""Font size of the labels, in pixels. All lengths in this module are in these pixels."""

_CHARACTER, _HEIGHT, _BASELINE = 6.8, 14.0, 11.0


@dataclass(frozen=True)
class Side:
    """A position of a label relative to the point that it names.

    Attributes:
        dx, dy: offset of the text's anchor, which is on its baseline, from the point.
        anchor: part of the text at the anchor: ``"start"``, ``"middle"`` or ``"end"``.
    """

    dx: float
    dy: float
    anchor: str


ON_A_LINE = (Side(4, -5, "start"), Side(4, 15, "start"))
"""Positions for the label of a horizontal line, at its left end."""


def beside(radius: float) -> tuple[Side, ...]:
    """Return the positions for the label of a point with this radius, the best first."""
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
    """A point that no label may cover.

    Attributes:
        x, y: fractions of the plot's width from the left and of its height from the top.
        radius: of its symbol.
    """

    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Label:
    """The name of a point or a line.

    Attributes:
        text: one line.
        x, y: of the point: fractions of the plot's width from the left and of its height from the top.
        sides: possible positions, the best first.
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
    """Return the position of each label, or None for a label without a free position.

    Args:
        labels: the most important first.
        marks: points that stay visible.
        width, height: of the plot.
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
