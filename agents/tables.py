"""The final table: on the screen and as CSV."""

import csv
from collections.abc import Sequence
from pathlib import Path

from mixq_rl.agents.finalists import Finalist
from rich.table import Table

__all__ = ["allocation_table", "final_table", "write_csv"]

_GIGA = 1e9


def final_table(finalists: Sequence[Finalist], best: Finalist) -> Table:
    """Return the table of accuracies, bit operations and reductions, the best row marked."""
    table = Table(
        title="accuracy in %, BitOPs in 10⁹", caption="★ best: the highest reward at preference 0.5, on validation"
    )
    table.add_column("network", no_wrap=True)
    for heading in (
        "validation",
        "test",
        "BitOPs\nlinear",
        "reduction\nlinear",
        "BitOPs\nproduct",
        "reduction\nproduct",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("bits", no_wrap=True)
    for finalist in finalists:
        evaluation = finalist.evaluation
        table.add_row(
            f"{finalist.label} ★" if finalist is best else finalist.label,
            f"{100 * evaluation.accuracy:.1f}",
            f"{100 * finalist.test_accuracy:.1f}",
            f"{evaluation.bitops / _GIGA:.3f}",
            f"{evaluation.reduction:.1f}×",
            f"{evaluation.product_bitops / _GIGA:.3f}",
            f"{evaluation.product_reduction:.1f}×",
            _short(evaluation.allocation),
            style="bold green" if finalist is best else None,
        )
    return table


def allocation_table(components: Sequence[str], best: Finalist) -> Table:
    """Return the bit-width of each component of the best network."""
    table = Table(title=f"allocation of {best.label}")
    table.add_column("component", no_wrap=True)
    table.add_column("bits", justify="right")
    for name, bits in zip(components, best.evaluation.allocation, strict=True):
        table.add_row(name, str(bits))
    return table


def write_csv(path: Path, finalists: Sequence[Finalist], best: Finalist, components: Sequence[str]) -> None:
    """Write a row for each network: accuracies in [0, 1], bit operations, reductions, bits of each component."""
    heading = [
        "network",
        "best",
        "validation_accuracy",
        "test_accuracy",
        "bitops",
        "reduction",
        "product_bitops",
        "product_reduction",
    ]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*heading, *components])
        for finalist in finalists:
            evaluation = finalist.evaluation
            writer.writerow(
                [
                    finalist.label,
                    int(finalist is best),
                    evaluation.accuracy,
                    finalist.test_accuracy,
                    evaluation.bitops,
                    evaluation.reduction,
                    evaluation.product_bitops,
                    evaluation.product_reduction,
                    *evaluation.allocation,
                ]
            )


def _short(allocation: Sequence[int]) -> str:
    return str(allocation[0]) if len(set(allocation)) == 1 else " ".join(str(bits) for bits in allocation)
