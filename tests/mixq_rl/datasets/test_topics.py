import torch

from mixq_rl.datasets import load_task
from mixq_rl.datasets.topics import load_topics


def test_same_seed_same_graph() -> None:
    one, other, third = load_topics(), load_task("topics"), load_topics(seed=1)
    assert torch.equal(one.x, other.x)
    assert torch.equal(one.edge_index, other.edge_index)
    assert torch.equal(one.y.nan_to_num(2), other.y.nan_to_num(2))
    assert not torch.equal(one.x, third.x)


def test_documents_have_one_or_several_topics_some_unknown() -> None:
    task = load_topics()
    assert (task.multi_label, task.num_classes, task.metric, task.kind) == (True, 10, "roc-auc", "node")
    assert 0.08 < float(task.y.isnan().float().mean()) < 0.12
    positive = (task.y == 1).sum(dim=1)
    assert int(positive.max()) > 3
    assert [int(mask.sum()) for mask in task.masks.values()] == [1000, 500, 500]


def test_edges_are_mutual_and_join_similar_documents() -> None:
    task = load_topics()
    assert torch.equal(task.edge_index[:, :6000], task.edge_index[:, 6000:].flip(0))
    y = task.y.nan_to_num(0)
    of_edges = (y[task.edge_index[0]] * y[task.edge_index[1]]).sum(dim=1) > 0
    of_pairs = (y @ y.T) > 0
    assert float(of_edges.float().mean()) > 1.5 * float(of_pairs.float().mean())
