from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from mixq_rl.agents.report.label_placement import ON_A_LINE, Label, Mark, Side, beside, place_labels

WIDTH, HEIGHT = 600.0, 400.0
shares = st.floats(0, 1)


def extent(label: Label, side: Side) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a text of 6.8 pixels a character, 14 high, on its baseline."""
    length = 6.8 * len(label.text)
    left = WIDTH * label.x + side.dx - {"start": 0.0, "middle": length / 2, "end": length}[side.anchor]
    top = HEIGHT * label.y + side.dy - 11
    return left, top, left + length, top + 14


def overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


@given(st.lists(st.tuples(shares, shares), max_size=12))
def test_texts_cover_neither_points_nor_each_other_and_stay_inside(points: list[tuple[float, float]]) -> None:
    labels = [Label(f"agent {index}", x, y, beside(6)) for index, (x, y) in enumerate(points)]
    marks = [Mark(x, y, 6) for x, y in points]
    sides = place_labels(labels, marks, WIDTH, HEIGHT)
    placed = [extent(label, side) for label, side in zip(labels, sides, strict=True) if side is not None]
    assert not any(overlap(one, other) for one, other in combinations(placed, 2))
    for left, top, right, bottom in placed:
        assert left >= 0
        assert top >= 0
        assert right <= WIDTH
        assert bottom <= HEIGHT
        for x, y in points:
            mark = (WIDTH * x - 6, HEIGHT * y - 6, WIDTH * x + 6, HEIGHT * y + 6)
            assert not overlap((left, top, right, bottom), mark)


def test_where_there_is_room_the_first_side_is_taken() -> None:
    assert place_labels([Label("a", 0.5, 0.5, beside(6))], [Mark(0.5, 0.5, 6)], WIDTH, HEIGHT) == [beside(6)[0]]
    assert place_labels([Label("line", 0, 0.5, ON_A_LINE)], [], WIDTH, HEIGHT) == [ON_A_LINE[0]]


def test_at_the_right_edge_a_text_goes_to_the_left() -> None:
    (side,) = place_labels([Label("a", 1.0, 0.5, beside(6))], [Mark(1.0, 0.5, 6)], WIDTH, HEIGHT)
    assert side is not None
    assert side.anchor == "end"


def test_what_matters_less_is_left_out_in_a_crowd() -> None:
    labels = [Label("a long name", 0.5, 0.5, beside(6))] * 20
    sides = place_labels(labels, [], WIDTH, HEIGHT)
    assert sides[0] is not None
    assert sides[-1] is None
