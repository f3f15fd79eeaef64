import numpy as np
import pytest
import torch
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.utils import scatter

from mixq_rl.adjacency import Adjacency
from mixq_rl.errors import InvalidGraphError
from mixq_rl.graph import Graph
from mixq_rl.propagation import Propagation
from tests.mixq_rl.nn.networks import make_graph

NO_EDGES = torch.zeros(2, 0, dtype=torch.int64)


def dense(adjacency: Adjacency) -> torch.Tensor:
    matrix = torch.zeros(adjacency.csr.num_rows, adjacency.csr.num_columns, dtype=torch.float64)
    matrix.index_put_((adjacency.csr.row, adjacency.csr.col.long()), adjacency.value, accumulate=True)
    return matrix if adjacency.row_scale is None else adjacency.row_scale * matrix


def matrix_of(edge_index: torch.Tensor, weight: torch.Tensor, num_nodes: int) -> torch.Tensor:
    matrix = torch.zeros(num_nodes, num_nodes, dtype=torch.float64)
    return matrix.index_put_((edge_index[1], edge_index[0]), weight.double(), accumulate=True)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("improved", [True, False])
@pytest.mark.parametrize("add_self_loops", [True, False])
def test_symmetric_equals_the_normalisation_of_pytorch_geometric(
    seed: int, weighted: bool, improved: bool, add_self_loops: bool
) -> None:
    graph = make_graph(20, seed=seed, weighted=weighted)
    weight = None if graph.edge_weight is None else graph.edge_weight.double()
    index, expected = gcn_norm(
        graph.edge_index, weight, 20, improved=improved, add_self_loops=add_self_loops, dtype=torch.float64
    )
    propagation = Propagation(
        "symmetric", "remaining" if add_self_loops else "keep", 2.0 if improved else 1.0, weighted=True
    )
    got = dense(graph.adjacency(propagation))
    torch.testing.assert_close(got, matrix_of(index, expected, 20), rtol=1e-12, atol=0)


def test_loops_lighter_than_edges_are_normalised_too() -> None:
    graph = make_graph(20, weighted=True)
    assert graph.edge_weight is not None
    own = graph.edge_index[0] == graph.edge_index[1]
    edges = matrix_of(graph.edge_index[:, ~own], graph.edge_weight[~own], 20)
    for loop_weight in (1e-6, 0.5):
        adjacency = graph.adjacency(Propagation("symmetric", "replace", loop_weight, weighted=True))
        matrix = edges + loop_weight * torch.eye(20, dtype=torch.float64)
        factor = matrix.sum(dim=1).rsqrt()
        torch.testing.assert_close(dense(adjacency), factor.unsqueeze(1) * matrix * factor, rtol=1e-12, atol=0)
        assert adjacency.row_scale is None or float(adjacency.row_scale.max()) <= 1


def test_mean_divides_by_the_neighbours_number() -> None:
    graph = make_graph()
    x = torch.randn(graph.num_nodes, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = scatter(x[graph.edge_index[0]], graph.edge_index[1], dim_size=graph.num_nodes, reduce="mean")
    torch.testing.assert_close(dense(graph.adjacency(Propagation("mean"))) @ x, expected)


def test_sums_keep_parallel_edges_and_loops() -> None:
    graph = make_graph(weighted=True)
    ones = torch.ones(graph.edge_index.shape[1])
    assert graph.edge_weight is not None
    assert torch.equal(dense(graph.adjacency(Propagation())), matrix_of(graph.edge_index, ones, graph.num_nodes))
    weighted = dense(graph.adjacency(Propagation(weighted=True)))
    torch.testing.assert_close(weighted, matrix_of(graph.edge_index, graph.edge_weight, graph.num_nodes))


def test_treatments_of_self_loops() -> None:
    graph = Graph(torch.tensor([[0, 0, 1], [0, 0, 0]]), 2, edge_weight=torch.tensor([3.0, 3.0, 5.0]))
    diagonals = {
        "keep": [6, 0],
        "add": [6 + 2, 2],
        "replace": [2, 2],
        "remaining": [3, 2],
    }
    for treatment, diagonal in diagonals.items():
        adjacency = graph.adjacency(Propagation(self_loops=treatment, loop_weight=2.0, weighted=True))
        assert dense(adjacency).diagonal().tolist() == diagonal, treatment
        assert dense(adjacency)[0, 1] == 5
    replaced = graph.adjacency(Propagation("symmetric", "replace"))
    assert replaced.csr.rowptr.tolist() == [0, 2, 3]
    assert replaced.csr.col.tolist() == [0, 1, 1]


def test_loops_among_edges_without_weights_weigh_what_these_do() -> None:
    graph = make_graph()
    assert bool((graph.adjacency(Propagation("none", "replace", 2.0, weighted=True)).value == 1).all())
    weighted = make_graph(weighted=True)
    assert bool((weighted.adjacency(Propagation("none", "replace", 2.0)).value == 1).all())


def test_added_loops_are_named_beside_those_of_the_graph() -> None:
    graph = make_graph()
    adjacency = graph.adjacency(Propagation(self_loops="add"))
    assert adjacency.loops.numel() == graph.num_nodes
    assert torch.equal(adjacency.csr.row[adjacency.loops], torch.arange(graph.num_nodes))
    assert torch.equal(adjacency.csr.col[adjacency.loops].long(), torch.arange(graph.num_nodes))
    assert adjacency.csr.col.numel() == graph.edge_index.shape[1] + graph.num_nodes
    assert graph.adjacency(Propagation()).loops.numel() == 0


def test_graph_without_edges_has_a_loop_at_every_node() -> None:
    for treatment in ("add", "replace", "remaining"):
        adjacency = Graph(NO_EDGES, 3).adjacency(Propagation("symmetric", treatment))
        assert torch.equal(dense(adjacency), torch.eye(3, dtype=torch.float64))
    assert not dense(Graph(NO_EDGES, 3).adjacency(Propagation("mean"))).any()


def test_isolated_nodes_sum_over_nothing() -> None:
    for normalization in ("none", "mean", "root", "symmetric"):
        matrix = dense(Graph(torch.tensor([[0], [1]]), 3).adjacency(Propagation(normalization)))
        assert bool(matrix.isfinite().all())
        assert not matrix[2].any()


def signed_graph(seed: int = 0) -> Graph:
    edges = make_graph(20, seed=seed).edge_index
    return Graph(edges, 20, edge_weight=torch.randn(edges.shape[1], generator=torch.Generator().manual_seed(seed)))


def test_a_negative_degree_is_refused_by_layer_and_node() -> None:
    weight = torch.tensor([1.0, -3.0, 0.5])
    graph = Graph(torch.tensor([[0, 1, 2], [1, 2, 0]]), 3, edge_weight=weight)
    message = r"layer 'conv1': the weights of the edges into node 2 add up to -3, and normalisation by degree"
    with pytest.raises(InvalidGraphError, match=message):
        graph.adjacency(Propagation("symmetric", weighted=True), "conv1")
    for taken in (Propagation("symmetric"), Propagation("mean", weighted=True), Propagation(weighted=True)):
        assert bool(dense(graph.adjacency(taken)).isfinite().all())


def test_negative_weights_of_positive_degrees_are_normalised_as_by_pytorch_geometric() -> None:
    edges = make_graph(20).edge_index
    weight = 1.5 + torch.rand(edges.shape[1], dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    weight[::9] = -0.1
    index, expected = gcn_norm(edges, weight, 20, add_self_loops=False, dtype=torch.float64)
    got = dense(Graph(edges, 20, edge_weight=weight).adjacency(Propagation("symmetric", weighted=True)))
    torch.testing.assert_close(got, matrix_of(index, expected, 20))
    assert got.min() < 0


@pytest.mark.parametrize("seed", range(3))
def test_absolute_degrees_are_sums_of_magnitudes(seed: int) -> None:
    graph = signed_graph(seed)
    assert graph.edge_weight is not None
    matrix = matrix_of(graph.edge_index, graph.edge_weight, 20)
    degree = matrix_of(graph.edge_index, graph.edge_weight.abs(), 20).sum(dim=1)
    root = torch.where(degree > 0, degree.rsqrt(), 0.0)
    torch.testing.assert_close(
        dense(graph.adjacency(Propagation("absolute", weighted=True))), root[:, None] * matrix * root
    )


def test_absolute_degrees_of_weights_that_are_not_negative_are_those_of_symmetric() -> None:
    for graph in (make_graph(20, weighted=True), make_graph(20)):
        for weighted in (True, False):
            one, other = (
                graph.adjacency(Propagation(kind, "remaining", weighted=weighted)) for kind in ("symmetric", "absolute")
            )
            assert torch.equal(dense(one), dense(other))


def test_a_root_lies_between_a_sum_and_a_mean() -> None:
    graph = make_graph()
    none, root, mean = (dense(graph.adjacency(Propagation(kind, "add"))) for kind in ("none", "root", "mean"))
    torch.testing.assert_close(root.square(), none * mean)


@pytest.mark.parametrize("normalization", ["none", "mean"])
def test_pooling_sums_over_each_graphs_nodes(normalization: str) -> None:
    batch = torch.tensor([0, 0, 2, 0])
    graph = Graph(NO_EDGES, 4, batch=batch, num_graphs=4)
    x = torch.randn(4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = scatter(x, batch, dim_size=4, reduce="sum" if normalization == "none" else "mean")
    got = dense(graph.adjacency(Propagation(normalization, pooled=True))) @ x
    torch.testing.assert_close(got, expected)


def test_one_graph_is_pooled_without_a_batch() -> None:
    adjacency = Graph(NO_EDGES, 3).adjacency(Propagation(pooled=True))
    assert dense(adjacency).tolist() == [[1, 1, 1]]


def test_adjacencies_are_made_once() -> None:
    graph = make_graph()
    assert graph.adjacency(Propagation("mean")) is graph.adjacency(Propagation("mean"))
    assert graph.adjacency(Propagation("mean")) is not graph.adjacency(Propagation())


def test_binary_where_all_entries_are_one() -> None:
    graph = make_graph(weighted=True)
    assert graph.adjacency(Propagation("mean", "add")).is_binary
    assert not graph.adjacency(Propagation(weighted=True)).is_binary


def test_copies_to_a_device_keep_everything() -> None:
    graph = make_graph(weighted=True, graphs=3)
    other = graph.to("cpu")
    assert (other.num_nodes, other.num_graphs) == (graph.num_nodes, 3)
    for one, copy in ((graph.edge_index, other.edge_index), (graph.batch, other.batch)):
        assert one is not None
        assert copy is not None
        assert torch.equal(one, copy)


def test_edges_may_be_int32() -> None:
    graph = make_graph()
    narrow = Graph(graph.edge_index.int(), graph.num_nodes)
    propagation = Propagation("symmetric", "remaining")
    assert torch.equal(dense(narrow.adjacency(propagation)), dense(graph.adjacency(propagation)))


@pytest.mark.parametrize("node", [-1, 3, 2**40])
def test_edges_to_nodes_that_do_not_exist_are_refused(node: int) -> None:
    with pytest.raises(InvalidGraphError, match=rf"names node {node}, but the graph has nodes 0\.\.\.2"):
        Graph(torch.tensor([[0], [node]]), 3)


@pytest.mark.parametrize("edge_index", [torch.zeros(3, 2, dtype=torch.int64), torch.zeros(2, 2)])
def test_edge_index_of_another_form_is_refused(edge_index: torch.Tensor) -> None:
    with pytest.raises(InvalidGraphError, match=r"must be integers of shape \[2, edges\]"):
        Graph(edge_index, 3)


def test_transposed_edges_are_told_so() -> None:
    with pytest.raises(InvalidGraphError, match="transpose it"):
        Graph(torch.zeros(3, 2, dtype=torch.int64), 3)


@pytest.mark.parametrize(
    ("edge_weight", "message"),
    [
        (torch.ones(3), r"of shape \[1\], one for each edge, not torch\.float32 of shape \[3\]"),
        (torch.ones(1, 1), r"of shape \[1\]"),
        (torch.ones(1, dtype=torch.int64), r"must be floating point .* not torch\.int64"),
        (torch.tensor([float("nan")]), "NaN or infinity"),
        (torch.tensor([float("inf")]), "NaN or infinity"),
    ],
)
def test_edge_weights_that_do_not_fit_are_refused(edge_weight: torch.Tensor, message: str) -> None:
    with pytest.raises(InvalidGraphError, match=message):
        Graph(torch.tensor([[0], [1]]), 2, edge_weight=edge_weight)


@pytest.mark.parametrize(
    ("batch", "num_graphs", "message"),
    [
        (torch.tensor([0]), None, r"must be int64 of shape \[2\]"),
        (torch.tensor([0, 1], dtype=torch.int32), None, "must be int64"),
        (torch.tensor([0, -1]), None, r"names graphs -1\.\.\.0"),
        (torch.tensor([0, 3]), 3, r"names graphs 0\.\.\.3 where there are 3"),
    ],
)
def test_batches_that_do_not_fit_are_refused(batch: torch.Tensor, num_graphs: int | None, message: str) -> None:
    with pytest.raises(InvalidGraphError, match=message):
        Graph(NO_EDGES, 2, batch=batch, num_graphs=num_graphs)


@pytest.mark.parametrize("arguments", [{"normalization": "max"}, {"self_loops": "none"}, {"loop_weight": float("nan")}])
def test_unknown_propagations_are_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"known are|not a number"):
        Propagation(**arguments)  # type: ignore[arg-type]


def test_inverse_roots_are_rounded_to_the_nearest() -> None:
    """Torch's own square root on a CPU is not, so that the entries would differ from those of a GPU."""
    num_nodes = 5000
    nodes = torch.arange(num_nodes)
    weight = 100 * torch.rand(num_nodes, generator=torch.Generator().manual_seed(0))
    graph = Graph(torch.stack([nodes, nodes]), num_nodes, edge_weight=weight)
    got = graph.adjacency(Propagation("symmetric", "keep", weighted=True)).value
    factor = 1 / np.sqrt(weight.double().numpy())
    assert torch.equal(got, torch.from_numpy(factor * weight.double().numpy() * factor))
