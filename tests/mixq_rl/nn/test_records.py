import torch

from mixq_rl.nn import records
from mixq_rl.quantization import IntegerRange, PackedRows, QTensor, Requantization
from mixq_rl.sparse import CSR

CSR_OF_THREE = CSR(torch.tensor([0, 2, 2, 5], dtype=torch.int32), torch.tensor([0, 1, 2, 2, 0], dtype=torch.int32), 3)
TO_FOUR_BITS = Requantization(torch.tensor(1), 1, 0, None, IntegerRange(4, False), 0)


def packed(rows: int, columns: int, bits: int) -> PackedRows:
    return PackedRows.pack(torch.zeros(rows, columns, dtype=torch.uint8), IntegerRange(bits, False))


def test_bytes_of_a_product_are_those_of_operands_and_result() -> None:
    one = torch.ones((), dtype=torch.float64)
    record = records.integer_linear(
        "conv1", "x", QTensor(packed(3, 9, 2), one), QTensor(packed(9, 7, 8), one), TO_FOUR_BITS
    )
    assert record.shape == (3, 9, 7)
    assert (record.left_bits, record.right_bits, record.result_bits) == (2, 8, 4)
    assert record.bytes == 3 * 3 + 9 * 7 + 3 * 4
    in_float = records.float_linear("conv1", "x", torch.ones(3, 9), torch.ones(9, 7))
    assert in_float.bytes == 4 * (3 * 9 + 9 * 7 + 3 * 7)
    assert in_float.operations == record.operations


def test_bytes_of_an_aggregation_count_a_row_as_often_as_it_is_gathered() -> None:
    weight, message = torch.ones(5, dtype=torch.uint8), packed(3, 9, 1)
    record = records.integer_aggregate("conv1", CSR_OF_THREE.rowptr, weight, 3, message, TO_FOUR_BITS)
    assert (record.left_bits, record.right_bits, record.result_bits) == (3, 1, 4)
    assert record.bytes == 5 * (1 + 4 + 2) + 3 * (4 + 5)
    in_float = records.float_aggregate("conv1", weight.float(), CSR_OF_THREE, torch.ones(3, 9))
    assert in_float.bytes == 5 * (4 + 4 + 36) + 3 * (4 + 36)
    assert in_float.operations == record.operations == 2 * 5 * 9
