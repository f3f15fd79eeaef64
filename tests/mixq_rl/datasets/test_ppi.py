import json
from pathlib import Path

import numpy as np
import pytest
import torch

import mixq_rl
from mixq_rl.errors import DataNotFoundError, InvalidGraphError


def save(raw: Path, split: str, links: list[tuple[int, int]], tissues: list[int]) -> None:
    draw, nodes = np.random.default_rng(len(tissues)), len(tissues)
    np.save(raw / f"{split}_feats.npy", draw.random((nodes, 4)))
    np.save(raw / f"{split}_labels.npy", (np.arange(3 * nodes).reshape(nodes, 3) % 2).astype(np.int64))
    np.save(raw / f"{split}_graph_id.npy", np.array(tissues))
    document = {
        "directed": False,
        "graph": {},
        "nodes": [{"id": node, "test": False} for node in range(nodes)],
        "links": [{"source": source, "target": target} for source, target in links],
    }
    (raw / f"{split}_graph.json").write_text(json.dumps(document))


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "ppi" / "raw"
    folder.mkdir(parents=True)
    save(folder, "train", [(0, 1), (1, 1), (2, 3)], [1, 1, 2, 2])
    save(folder, "valid", [(0, 1)], [3, 3, 3])
    save(folder, "test", [(1, 0)], [4, 4])
    return folder


def test_tissues_are_one_task_in_which_no_split_meets_another(raw: Path, tmp_path: Path) -> None:
    task = mixq_rl.load_task("PPI", tmp_path)
    assert (task.kind, task.multi_label, task.num_classes, task.metric) == ("node", True, 3, "micro-f1")
    assert {split: mask.nonzero()[:, 0].tolist() for split, mask in task.masks.items()} == {
        "train": [0, 1, 2, 3],
        "validation": [4, 5, 6],
        "test": [7, 8],
    }
    assert {tuple(pair) for pair in task.edge_index.T.tolist()} == {
        *((0, 1), (1, 0), (2, 3), (3, 2)),
        *((4, 5), (5, 4), (7, 8), (8, 7)),
    }
    for mask in task.masks.values():
        assert torch.equal(mask[task.edge_index[0]], mask[task.edge_index[1]])
    assert torch.equal(task.x[4:7], torch.from_numpy(np.load(raw / "valid_feats.npy")).float())
    assert torch.equal(task.y[7:], torch.from_numpy(np.load(raw / "test_labels.npy")).float())
    assert not list(tmp_path.rglob("processed"))


def test_edge_between_tissues_is_refused(raw: Path, tmp_path: Path) -> None:
    save(raw, "train", [(0, 3)], [1, 1, 2, 2])
    with pytest.raises(InvalidGraphError, match="an edge of PPI joins two graphs"):
        mixq_rl.load_task("PPI", tmp_path)


def test_links_that_are_no_numbers_are_damage(raw: Path, tmp_path: Path) -> None:
    (raw / "test_graph.json").write_text('{"links": [{"source": "a", "target": 1}]}')
    with pytest.raises(DataNotFoundError, match=r"the files of PPI in .* are damaged .*Expected `int`"):
        mixq_rl.load_task("PPI", tmp_path)
