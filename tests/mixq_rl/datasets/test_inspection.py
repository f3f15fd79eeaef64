"""Findings about graphs: features, edges and labels."""

from typing import Any

import pytest
import torch

from mixq_rl.datasets import GraphTask, load_task
from mixq_rl.datasets.edge_findings import edge_findings
from mixq_rl.datasets.feature_findings import feature_findings
from mixq_rl.datasets.finding import Finding
from mixq_rl.datasets.inspection import advice, inspect_arrays, inspect_task, nothing_to_learn

NODES = 200
DRAW = torch.Generator().manual_seed(0)
X = torch.randn(NODES, 12, generator=DRAW)
RING = torch.stack([torch.arange(NODES), (torch.arange(NODES) + 1) % NODES])
EDGES = torch.cat([RING, RING.flip(0)], dim=1)
PLACE = torch.arange(NODES) % 5
MASKS: Any = {"train": PLACE < 3, "validation": PLACE == 3, "test": PLACE == 4}


def by_subject(found: Any) -> dict[str, Finding]:
    listed = list(found)
    assert all(str(finding).isprintable() and "\n" not in str(finding) for finding in listed)
    assert all(finding.meaning for finding in listed if finding.matters)
    return {finding.subject: finding for finding in listed}


def features(x: torch.Tensor) -> dict[str, Finding]:
    return by_subject(feature_findings(x))


def edges(edge_index: torch.Tensor, weight: torch.Tensor | None = None, nodes: int = NODES) -> dict[str, Finding]:
    return by_subject(edge_findings(edge_index, nodes, weight, (2, 4, 8)))


def task(**changes: Any) -> GraphTask:
    arrays: dict[str, Any] = {"x": X, "edge_index": EDGES, "y": torch.arange(NODES) // 7 % 4, "masks": MASKS}
    return GraphTask("graph", **{**arrays, **changes})


def test_a_graph_without_faults_has_no_finding_that_matters() -> None:
    found = by_subject(inspect_task(task()))
    assert set(found) == {"size", "features", "edges", "hubs", "splits", "classes"}
    assert not any(finding.matters for finding in found.values())
    assert advice(task()) == []


def test_columns_out_of_scale() -> None:
    spike = X.clone()
    spike[7, 3] = 1e6
    spike[:, 5] *= 1e4
    found = features(spike)["scale"]
    assert found.matters
    assert "column 3 reaches 1e+06 at node 7" in found.found
    assert "column 5" in found.found
    assert "column 0" not in found.found
    assert "scale" not in features(X * torch.linspace(1, 30, 12))
    one = torch.ones(NODES, 1)
    one[9] = -1e6
    assert "column 0 reaches 1e+06 at node 9" in features(one)["scale"].found
    words = (torch.rand(NODES, 12, generator=DRAW) < 0.02).float()
    assert "scale" not in features(words)


@pytest.mark.parametrize("factor", [1e-14, 1e9])
def test_ranges_that_scales_do_not_cover(factor: float) -> None:
    assert features(X * factor)["range"].matters


def test_constant_columns() -> None:
    constant = X.clone()
    constant[:, 4] = 3
    assert "1 of 12 columns are constant: 4" in features(constant)["constant columns"].found
    constant[:, :6] = 0
    assert features(constant)["constant columns"].matters
    assert features(torch.zeros(NODES, 3))["features"].found == "3 columns all zero, 100.0 % zeros"


@pytest.mark.parametrize(
    ("value", "name"), [(float("nan"), "NaN"), (float("inf"), "infinity"), (-float("inf"), "infinity")]
)
def test_values_that_are_not_finite_are_found(value: float, name: str) -> None:
    broken = X.clone()
    broken[9, 2] = broken[11, 4] = value
    found = features(broken)
    assert found["not finite"].found == f"2 values in 2 of 12 columns are NaN or infinite: at node 9, column 2 {name}"
    assert "within" in found["features"].found
    everything = features(torch.full((3, 2), value))
    assert everything["not finite"].matters


def test_edges_more_than_once_and_loops() -> None:
    found = edges(torch.cat([EDGES, EDGES[:, 5:8], torch.tensor([[3, 3], [3, 3]])], dim=1))
    assert found["duplicates"].found == "4 edges are there more than once"
    assert found["self-loops"].found == "2 for 200 nodes"
    assert "duplicates" not in edges(EDGES)
    first = torch.tensor([[1, 1], [0, 199]])
    assert "duplicates" not in edges(first)


@pytest.mark.parametrize("seed", range(5))
def test_duplicates_are_those_of_unique(seed: int) -> None:
    drawn = torch.randint(9, (2, 60), generator=torch.Generator().manual_seed(seed))
    again = 60 - drawn.unique(dim=1).shape[1]
    assert edges(drawn, nodes=9)["duplicates"].found.startswith(f"{again} edges")


def test_isolated_nodes_and_directions() -> None:
    found = edges(RING[:, :99])
    assert found["isolated nodes"].found == "100 of 200 nodes have no edge"
    assert found["isolated nodes"].matters
    star = torch.stack([torch.arange(1, NODES), torch.zeros(NODES - 1, dtype=torch.int64)])
    assert found["edges"].found.startswith("99 edges, in one direction")
    assert edges(star)["direction"].matters
    assert "direction" not in edges(EDGES)


def test_hubs_limit_the_bits() -> None:
    leaves = 70_000
    star = torch.stack([torch.arange(1, leaves), torch.zeros(leaves - 1, dtype=torch.int64)])
    hub = edges(star, nodes=leaves)["hubs"]
    assert hub.matters
    assert "holds 33,025 such neighbours; 8 bits times 4 bits fit" in hub.meaning
    (low,) = [finding for finding in edge_findings(star, leaves, None, (2, 4)) if finding.subject == "hubs"]
    assert not low.matters


def test_weights() -> None:
    weight = torch.rand(EDGES.shape[1], generator=DRAW) + 0.5
    assert set(edges(EDGES, weight)) == {"edges", "hubs", "weights"}
    weight[:3], weight[3:5], weight[6] = -1.0, 0.0, 1e5
    found = edges(EDGES, weight)
    assert found["negative weights"].found == "3 of 400 edge weights are negative"
    assert found["zero weights"].found == "2 edge weights are 0"
    assert found["weights' scale"].matters
    weight[7] = float("nan")
    assert "1 edge weights are NaN" in edges(EDGES, weight)["weights"].found


def test_edges_that_are_wrong_are_findings() -> None:
    assert "names node 200" in edges(EDGES + 1)["edges"].found
    assert "x is of shape" in by_subject(inspect_arrays(torch.ones(3), EDGES))["features"].found


@pytest.mark.parametrize(
    ("changes", "subject", "said"),
    [
        ({"y": torch.zeros(NODES, dtype=torch.int64)}, "classes", "all labels are of class 0"),
        ({"y": torch.zeros(NODES, dtype=torch.int64), "class_names": ("cat",)}, "classes", "of class cat"),
        ({"y": (torch.arange(NODES) % 20 == 0).long()}, "majority", "95.0 % of the labels are of class 0"),
        ({"x": torch.zeros(NODES, 3)}, "features", "all features are 0"),
        ({"x": torch.ones(NODES, 3)}, "features", "all nodes have the same features"),
        ({"edge_index": torch.zeros((2, 0), dtype=torch.int64)}, "edges", "there are no edges"),
        ({"edge_index": torch.arange(NODES).expand(2, -1)}, "edges", "all edges are self-loops"),
        ({"y": (PLACE > 2).long()}, "training", "all training labels are of class 0"),
    ],
)
def test_nothing_to_learn_is_warned_about(
    changes: dict[str, Any], subject: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    made = task(**changes)
    (found,) = nothing_to_learn(made)
    assert found.subject == subject
    assert said in found.found
    assert said not in " ".join(finding.found for finding in advice(made))


@pytest.mark.parametrize("edge_index", [EDGES[:, :0], RING[:1].expand(2, -1)])
def test_each_finding_is_there_once(edge_index: torch.Tensor) -> None:
    found = [str(finding) for finding in inspect_task(task(edge_index=edge_index))]
    assert len(set(found)) == len(found)


def test_labels_that_are_constant_in_training() -> None:
    y = torch.zeros(NODES, 3)
    y[::2, 0] = 1.0
    y[PLACE == 4, 1] = 1.0
    y[:, 2] = torch.nan
    found = by_subject(inspect_task(task(y=y)))["constant labels"]
    assert found.found == "2 of 3 labels have one value in training: 1, 2"
    assert "constant labels" not in by_subject(inspect_task(task(y=y[:, :1].expand(-1, 2))))


def test_load_task_warns_once(tmp_path: Any, caplog: pytest.LogCaptureFixture) -> None:
    torch.save({"x": X, "edge_index": EDGES, "y": torch.zeros(NODES)}, tmp_path / "graph.pt")
    load_task(str(tmp_path / "graph.pt"))
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warnings == ["graph.pt: all labels are of class 0: every network is right, and nothing can be learned"]


def test_majority_is_a_matter_of_accuracy() -> None:
    assert not list(nothing_to_learn(task(y=(torch.arange(NODES) % 4 == 0).long())))


def test_classes_that_are_hardly_trained() -> None:
    y = torch.zeros(NODES, dtype=torch.int64)
    y[PLACE > 2] = 1
    assert "no training nodes for 1 of 2 classes: 1" in by_subject(inspect_task(task(y=y)))["rare classes"].found
    y[:2] = 1
    assert "fewer than 5 training nodes" in by_subject(inspect_task(task(y=y)))["rare classes"].found


def test_built_in_tasks_are_looked_at() -> None:
    assert by_subject(inspect_task(load_task("CSL")))["size"].found.startswith("150 graphs, 6,150 nodes")
    assert advice(load_task("citation")) == []
