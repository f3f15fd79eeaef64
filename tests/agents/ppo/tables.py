"""Evaluators without a network, beside ``LookupTable``."""

from dataclasses import replace

from mixq_rl.evaluation.protocol import Evaluation
from tests.lookup_table import LookupTable


class OtherTable(LookupTable):
    """Three components, other bit-widths, and here 3 bits of the last one cost accuracy."""

    bit_widths = (3, 6)
    reference = replace(LookupTable.reference, allocation=(32,) * 3)

    def __init__(self) -> None:
        super().__init__()
        self.components = self.components[1:]

    def _evaluate(self, allocation: tuple[int, ...]) -> Evaluation:
        bitops = float(2 * sum(allocation))
        accuracy = 0.8 - (0.06 if allocation[2] == 3 else 0.0)
        return replace(self.reference, allocation=allocation, accuracy=accuracy, bitops=bitops, reduction=288 / bitops)
