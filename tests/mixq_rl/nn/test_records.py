import torch

from mixq_rl.nn import records
from mixq_rl.quantization import IntegerRange, PackedRows, QTensor
from mixq_rl.sparse import CSR, SparseMatrix

CSR_OF_THREE = CSR(torch.tensor([0, 2, 2, 5], dtype=torch.int32), torch.tensor([0, 1, 2, 2, 0], dtype=torch.int32), 3)
FOUR_BITS = IntegerRange(4, False)
LINEAR = ("x", "conv1.weight", "conv1.message")
AGGREGATE = ("conv1.adjacency", "conv1.message", "conv1.aggregate")


def packed(rows: int, columns: int, bits: int) -> PackedRows:
    return PackedRows.pack(torch.zeros(rows, columns, dtype=torch.uint8), IntegerRange(bits, False))


def test_bytes_of_a_product_are_those_of_operands_and_result() -> None:
    one = torch.ones((), dtype=torch.float64)
    record = records.integer_linear(LINEAR, QTensor(packed(3, 9, 2), one), QTensor(packed(9, 7, 8), one), FOUR_BITS)
    assert record.shape == (3, 9, 7)
    assert (record.left, record.right, record.result) == LINEAR
    assert (record.left_bits, record.right_bits, record.result_bits) == (2, 8, 4)
    assert record.bytes == 3 * 3 + 9 * 7 + 3 * 4
    in_float = records.float_linear(LINEAR, torch.ones(3, 9), torch.ones(9, 7))
    assert in_float.bytes == 4 * (3 * 9 + 9 * 7 + 3 * 7)
    assert in_float.operations == record.operations


def test_sparse_features_count_as_the_matrix_that_they_stand_for() -> None:
    sparse = SparseMatrix.from_dense(torch.eye(3))
    assert records.float_linear(LINEAR, sparse, torch.ones(3, 7)) == records.float_linear(
        LINEAR, torch.eye(3), torch.ones(3, 7)
    )


def test_bytes_of_an_aggregation_count_a_row_as_often_as_it_is_gathered() -> None:
    weight, message = torch.ones(5, dtype=torch.uint8), packed(3, 9, 1)
    record = records.integer_aggregate(AGGREGATE, CSR_OF_THREE, weight, 3, message, FOUR_BITS)
    assert (record.left, record.right, record.result) == AGGREGATE
    assert (record.left_bits, record.right_bits, record.result_bits) == (3, 1, 4)
    assert record.bytes == 5 * (1 + 4 + 2) + 3 * (4 + 5)
    in_float = records.float_aggregate(AGGREGATE, CSR_OF_THREE, torch.ones(3, 9))
    assert in_float.bytes == 5 * (4 + 4 + 36) + 3 * (4 + 36)
    assert in_float.operations == record.operations == 2 * 5 * 9


def test_an_adjacency_without_weights_moves_none() -> None:
    names = (records.EDGES, *AGGREGATE[1:])
    record = records.integer_aggregate(names, CSR_OF_THREE, None, 1, packed(3, 9, 1), FOUR_BITS)
    assert record.left == "edges"
    assert record.bytes == 5 * (4 + 2) + 3 * (4 + 5)
