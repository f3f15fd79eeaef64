import torch

import mixq_rl
from mixq_rl.datasets.citation import load_citation


def test_has_the_size_of_cora() -> None:
    task = mixq_rl.load_task("citation")
    assert (task.num_nodes, task.num_features, task.num_classes) == (2708, 1433, 7)
    assert task.edge_index.shape == (2, 2 * 5300)
    assert [int(task.masks[split].sum()) for split in ("train", "validation", "test")] == [140, 500, 1000]
    assert torch.bincount(task.y[task.masks["train"]]).tolist() == [20] * 7
    together = torch.stack([task.masks[split] for split in ("train", "validation", "test")]).sum(dim=0)
    assert int(together.max()) == 1


def test_features_are_row_normalised_binary_and_sparse() -> None:
    x = mixq_rl.load_task("citation").x
    words = (x > 0).sum(dim=1, keepdim=True)
    assert int(words.min()) >= 1
    torch.testing.assert_close(x, (x > 0).float() / words)
    assert float((x > 0).float().mean()) < 0.02


def test_is_deterministic_in_its_seed() -> None:
    one, same, other = load_citation(3), load_citation(3), load_citation(4)
    assert torch.equal(one.x, same.x)
    assert torch.equal(one.edge_index, same.edge_index)
    assert torch.equal(one.masks["test"], same.masks["test"])
    assert not torch.equal(one.y, other.y)


def test_is_hard_enough() -> None:
    task = mixq_rl.load_task("citation")
    model = mixq_rl.fit(mixq_rl.build_model("gcn", task), task)
    assert 0.75 <= task.accuracy(model(task.x, task.edge_index), "test") <= 0.85
