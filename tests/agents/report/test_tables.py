import csv
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from mixq_rl.agents.records.result import ExpectedChange, Finalist
from mixq_rl.agents.report.tables import final_table, write_csv
from mixq_rl.agents.runs.finalists import choice
from mixq_rl.envs import MaxBitOps, MaxDrop, Reward, TradeOff
from mixq_rl.evaluation.objective import BITOPS, LATENCY, Objective
from mixq_rl.evaluation.protocol import Evaluation

FLOAT = Evaluation((32,) * 9, 0.8, 16.0e9, 1.0, 512.0e9, 1.0)
MIXED = replace(
    FLOAT, allocation=(2, 4, 4, 2, 2, 4, 8, 8, 8), bitops=1.6e9, reduction=10, product_bitops=4e9, product_reduction=128
)
ROWS = [Finalist("float32", FLOAT, 0.81), Finalist("agent 12", MIXED, 0.79)]
TIMED = [
    replace(row, evaluation=replace(row.evaluation, seconds=seconds))
    for row, seconds in zip(ROWS, (0.012, 0.005), strict=True)
]


def printed(rows: list[Finalist], width: int, objective: Objective = BITOPS) -> str:
    console = Console(width=width)
    with console.capture() as capture:
        console.print(final_table(rows, rows[-1], "by its reward", objective))
    return capture.get()


def test_fits_80_columns_with_nothing_cut() -> None:
    text = printed(ROWS, 80)
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "…" not in text
    for part in ("agent 12 ★", "80.0", "79.0", "1.600 (10.0×)", "4.000 (128.0×)", "2 4 4 2 2 4 8 8 8", "10⁹"):
        assert part in text


def test_many_components_fold_within_the_width() -> None:
    allocation = tuple(2 + index % 7 for index in range(57))
    wide = [ROWS[0], replace(ROWS[1], evaluation=replace(MIXED, allocation=allocation))]
    text = printed(wide, 80)
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "…" not in text
    rows = text[text.index("agent 12") : text.index("bits: in the order")]
    bits = " ".join(line.rpartition("×)")[2] for line in rows.splitlines())
    assert [int(word) for word in bits.split()] == list(allocation)


def test_unit_follows_the_size() -> None:
    small = [Finalist("float32", replace(FLOAT, bitops=2e6, product_bitops=6e6), 0.5)]
    assert "BitOPs in 10⁶" in printed(small, 80)
    assert "2.000 (1.0×)" in printed(small, 80)


def test_csv_has_a_column_for_each_component(tmp_path: Path) -> None:
    names = [f"c{index}" for index in range(9)]
    write_csv(tmp_path / "table.csv", ROWS, ROWS[1], names)
    with (tmp_path / "table.csv").open() as file:
        first, second = csv.DictReader(file)
    assert (first["best"], second["best"]) == ("0", "1")
    assert [int(second[name]) for name in names] == list(MIXED.allocation)
    assert float(second["test_accuracy"]) == 0.79


@pytest.mark.parametrize("width", [80, 120])
def test_with_latency_the_table_has_times_and_speed_ups(width: int) -> None:
    text = printed(TIMED, width, LATENCY)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "…" not in text
    for part in ("time in ms (and speed-up)", "12.000 (1.00×)", "5.000 (2.40×)", "1.600 (10.0×)", "present load"):
        assert part in text
    assert "time" not in printed(TIMED, width)


@pytest.mark.parametrize("objective", [BITOPS, LATENCY])
def test_estimates_have_a_column_where_there_are_any(objective: Objective, tmp_path: Path) -> None:
    estimated = [TIMED[0], replace(TIMED[1], evaluation=replace(TIMED[1].evaluation, accuracy=0.777, estimate=0.7654))]
    text = printed(estimated, 80, objective)
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "…" not in text
    assert "validation, estimated and test accuracy" in text
    (row,) = [line.split() for line in text.splitlines() if "agent 12 ★" in line]
    assert row[3:6] == ["77.7", "76.5", "79.0"]
    write_csv(tmp_path / "table.csv", estimated, estimated[1], [f"c{index}" for index in range(9)], objective)
    with (tmp_path / "table.csv").open() as file:
        first, second = csv.DictReader(file)
    assert (first["estimated_accuracy"], second["estimated_accuracy"]) == ("0.8", "0.7654")
    assert "estimated" not in printed(TIMED, 80, objective)


def test_with_latency_the_csv_has_seconds_and_speed_ups(tmp_path: Path) -> None:
    names = [f"c{index}" for index in range(9)]
    write_csv(tmp_path / "table.csv", TIMED, TIMED[1], names, LATENCY)
    with (tmp_path / "table.csv").open() as file:
        first, second = csv.DictReader(file)
    assert (float(first["seconds"]), float(second["seconds"])) == (0.012, 0.005)
    assert (float(first["speed_up"]), float(second["speed_up"])) == pytest.approx((1, 2.4))
    assert list(second)[-9:] == names
    write_csv(tmp_path / "untimed.csv", TIMED, TIMED[1], names)
    assert "seconds" not in (tmp_path / "untimed.csv").read_text()


@pytest.mark.parametrize(
    ("reward", "words"),
    [
        (TradeOff(), "highest reward at preference 0.5"),
        (MaxDrop(0.003), "greatest saving at most 0.3 points below float32"),
        (MaxBitOps(1.2e9), "highest accuracy with at most 1.20 G bit operations"),
    ],
)
def test_says_what_the_best_is_best_at(reward: Reward, words: str) -> None:
    console = Console(width=80)
    with console.capture() as capture:
        console.print(final_table(ROWS, ROWS[-1], choice(reward)))
    assert words in " ".join(capture.get().split())
    assert choice(reward).endswith(", on validation data")
    assert choice(reward, estimated=True) == choice(reward).replace("on validation data", "by estimated accuracy")


def test_the_caption_has_the_expected_change_of_the_best() -> None:
    console = Console(width=80)
    with console.capture() as capture:
        console.print(final_table(ROWS, ROWS[-1], "by its reward", change=ExpectedChange(-0.012, -0.034, 0.011)))
    text = " ".join(capture.get().split())
    assert "★ against float32 on test, expected from validation: -1.2 points (95 % interval -3.4 to +1.1)" in text
