from collections.abc import Sequence

from mixq_rl.evaluation.chunks import in_chunks


class Work:
    """Takes so many seconds for each item, by a clock of its own."""

    def __init__(self, seconds: float) -> None:
        self.now, self.seconds = 0.0, seconds
        self.sizes: list[int] = []

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.now += self.seconds * len(items)
        self.sizes.append(len(items))
        return [-item for item in items]

    def run(self, count: int) -> list[int]:
        return list(in_chunks(range(count), self, clock=lambda: self.now))


def test_fast_work_is_done_in_large_chunks() -> None:
    work = Work(0.001)
    assert work.run(100) == [-item for item in range(100)]
    assert work.sizes == [1, 2, 4, 8, 16, 32, 32, 5]


def test_chunks_take_about_half_a_second() -> None:
    work = Work(0.1)
    work.run(40)
    assert work.sizes[:4] == [1, 2, 4, 4]


def test_slow_work_is_done_one_by_one() -> None:
    work = Work(10)
    work.run(3)
    assert work.sizes == [1, 1, 1]


def test_of_nothing_there_is_nothing() -> None:
    assert Work(1).run(0) == []
