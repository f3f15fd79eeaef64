from pathlib import Path

import torch

import mixq_rl


def image(label: int, nodes: int) -> dict[str, torch.Tensor]:
    return {
        "x": torch.full((nodes, 1), float(label)),
        "pos": torch.rand(nodes, 2),
        "edge_index": torch.tensor([[0, 1], [1, 0]]),
        "edge_attr": torch.ones(2),
        "y": torch.tensor([label]),
    }


def test_features_are_intensity_and_place_and_the_split_is_its_own(tmp_path: Path) -> None:
    raw = tmp_path / "gnnbenchmark" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    parts = ([image(label, 2 + label) for label in (0, 1, 2)], [image(1, 2)], [image(2, 3), image(0, 2)])
    torch.save(parts, raw / "MNIST_v2.pt")
    task = mixq_rl.load_task("MNIST", tmp_path)
    assert (task.kind, task.num_graphs, task.num_features, task.num_classes) == ("graph", 6, 3, 3)
    assert task.y.tolist() == [0, 1, 2, 1, 2, 0]
    assert torch.equal(task.inputs("test").index, torch.tensor([4, 5]))
    assert task.inputs("validation").x[:, 0].tolist() == [1, 1]
    assert [int(task.masks[split].sum()) for split in ("train", "validation", "test")] == [3, 1, 2]
    assert not list(tmp_path.rglob("processed"))
