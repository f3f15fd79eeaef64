import numpy as np
import pytest
import torch

import mixq_rl
from mixq_rl.datasets import GraphTask
from mixq_rl.datasets.csl import load_csl
from mixq_rl.errors import InputError

SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def csl() -> GraphTask:
    return mixq_rl.load_task("CSL")


def laplacians(task: GraphTask) -> np.ndarray:
    adjacency = torch.zeros(150, 41, 41, dtype=torch.float64)
    source, target = task.edge_index
    adjacency[source // 41, source % 41, target % 41] += 1
    return np.eye(41) - adjacency.numpy() / 4


def test_graphs_are_simple_and_4_regular(csl: GraphTask) -> None:
    assert (csl.kind, csl.num_graphs, csl.num_nodes, csl.num_classes, csl.num_features) == ("graph", 150, 6150, 10, 50)
    assert torch.bincount(csl.edge_index[1]).tolist() == [4] * csl.num_nodes
    assert bool((csl.edge_index[0] != csl.edge_index[1]).all())
    assert torch.equal(csl.edge_index.flip(0).unique(dim=1), csl.edge_index.unique(dim=1))
    assert csl.edge_index.unique(dim=1).shape == csl.edge_index.shape


def test_classes_are_balanced_and_told_apart_by_their_spectra(csl: GraphTask) -> None:
    assert torch.bincount(csl.y).tolist() == [15] * 10
    spectra = np.linalg.eigvalsh(laplacians(csl))
    distance = np.abs(spectra[:, None] - spectra[None]).max(axis=2)
    same = csl.y[:, None] == csl.y[None]
    assert distance[same.numpy()].max() < 1e-9
    assert distance[~same.numpy()].min() > 1e-3


def test_features_are_laplacian_eigenvectors_ascending_and_zeros(csl: GraphTask) -> None:
    x = csl.x.double().numpy().reshape(150, 41, 50)
    np.testing.assert_array_equal(x[:, :, 40:], 0)
    vectors = x[:, :, :40]
    np.testing.assert_allclose(
        vectors.transpose(0, 2, 1) @ vectors, np.broadcast_to(np.eye(40), (150, 40, 40)), atol=1e-6
    )
    values = np.linalg.eigvalsh(laplacians(csl))[:, 1:]
    np.testing.assert_allclose(laplacians(csl) @ vectors, vectors * values[:, None], atol=1e-6)


def test_is_deterministic_in_its_seed_and_the_same_for_all_folds(csl: GraphTask) -> None:
    same, other = load_csl(fold=3), load_csl(seed=1)
    assert torch.equal(csl.x, same.x)
    assert torch.equal(csl.edge_index, same.edge_index)
    assert not torch.equal(csl.edge_index, other.edge_index)
    graphs = csl.edge_index.reshape(2, 150, 164) % 41
    assert not torch.equal(graphs[:, 0], graphs[:, 1])


def test_folds_are_stratified(csl: GraphTask) -> None:
    for fold in range(5):
        task = mixq_rl.load_task("csl", fold=fold)
        counts = [torch.bincount(task.y[task.masks[split]]).tolist() for split in SPLITS]
        assert counts == [[9] * 10, [3] * 10, [3] * 10]
    with pytest.raises(InputError, match=r"CSL has no fold 5: it has folds 0\.\.\.4"):
        mixq_rl.load_task("CSL", fold=5)


def test_signs_of_eigenvectors_are_arbitrary(csl: GraphTask) -> None:
    assert csl.arbitrary_sign is not None
    assert csl.arbitrary_sign.tolist() == [True] * 40 + [False] * 10
