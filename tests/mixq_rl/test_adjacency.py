import pytest
import torch
from torch_geometric.nn.conv.gcn_conv import gcn_norm

from mixq_rl.adjacency import Adjacency
from mixq_rl.errors import InvalidGraphError


def dense(adjacency: Adjacency) -> torch.Tensor:
    matrix = torch.zeros(adjacency.csr.num_rows, adjacency.csr.num_rows, dtype=torch.float64)
    matrix.index_put_((adjacency.csr.row, adjacency.csr.col.long()), adjacency.value, accumulate=True)
    return adjacency.row_scale * matrix


def test_equals_the_normalisation_of_pytorch_geometric() -> None:
    generator = torch.Generator().manual_seed(0)
    edge_index = torch.randint(0, 20, (2, 60), generator=generator)
    edge_index = edge_index[:, edge_index[0] != edge_index[1]]
    index, weight = gcn_norm(edge_index, num_nodes=20, dtype=torch.float64)
    expected = torch.zeros(20, 20, dtype=torch.float64)
    expected.index_put_((index[1], index[0]), weight, accumulate=True)
    torch.testing.assert_close(dense(Adjacency.gcn(edge_index, 20)), expected, rtol=1e-12, atol=0)


def test_self_loops_are_replaced_by_one() -> None:
    adjacency = Adjacency.gcn(torch.tensor([[0, 0, 1], [0, 0, 0]]), 2)
    assert adjacency.csr.rowptr.tolist() == [0, 2, 3]
    assert adjacency.csr.col.tolist() == [0, 1, 1]


def test_graph_without_edges_has_a_loop_at_every_node() -> None:
    adjacency = Adjacency.gcn(torch.zeros(2, 0, dtype=torch.int64), 3)
    assert torch.equal(dense(adjacency), torch.eye(3, dtype=torch.float64))


@pytest.mark.parametrize("node", [-1, 3, 2**40])
def test_edges_to_nodes_that_do_not_exist_are_refused(node: int) -> None:
    with pytest.raises(InvalidGraphError, match=rf"names node {node}, but the graph has nodes 0\.\.\.2"):
        Adjacency.gcn(torch.tensor([[0], [node]]), 3)


@pytest.mark.parametrize("edge_index", [torch.zeros(3, 2, dtype=torch.int64), torch.zeros(2, 2)])
def test_edge_index_of_another_form_is_refused(edge_index: torch.Tensor) -> None:
    with pytest.raises(InvalidGraphError, match=r"must be integers of shape \[2, edges\]"):
        Adjacency.gcn(edge_index, 3)
