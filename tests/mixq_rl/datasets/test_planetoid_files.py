import pickle
import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from mixq_rl.datasets.memory_limit import ExcessError
from mixq_rl.datasets.planetoid_files import check_together, read_graph, read_matrix, write_plain

KNOWN = ("_reconstruct", "csr_matrix", "dtype", "ndarray")


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, ">i8", np.uint8, bool])
def test_arrays_are_those_of_pickle(protocol: int, order: Any, dtype: Any) -> None:
    array = np.asarray(np.arange(12).reshape(3, 4) % 2, dtype=dtype, order=order)
    found = read_matrix(pickle.dumps(array, protocol))
    assert found.dtype == array.dtype
    assert np.array_equal(found, array)


class Known(pickle.Unpickler):
    """Unpickler of sparse matrices, and of nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if module.split(".")[0] not in ("numpy", "scipy") or name not in KNOWN:
            raise pickle.UnpicklingError(f"{module}.{name} is no part of a sparse matrix")
        return super().find_class(module, name)


def test_the_real_matrices_are_those_of_pickle(data_root: Path) -> None:
    for path in (data_root / "planetoid").glob("*/raw/ind.*"):
        part = path.name.split(".")[-1]
        if part in ("x", "tx", "allx"):
            with path.open("rb") as file, warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the names of SciPy's modules are old
                expected = Known(file, encoding="latin1").load()
            found = read_matrix(path.read_bytes())
            assert (found.dtype, found.indices.dtype, found.shape) == (expected.dtype, np.int32, expected.shape)
            assert found.data.tobytes() == expected.data.tobytes()
            assert found.indices.tobytes() == expected.indices.tobytes()
            assert found.indptr.tobytes() == expected.indptr.tobytes()


def damaged(**changes: Any) -> bytes:
    matrix = sp.csr_matrix(np.eye(3))
    for name, value in changes.items():
        setattr(matrix, name, value)
    return pickle.dumps(matrix, 2)


@pytest.mark.parametrize(
    "content",
    [
        damaged(indices=np.array([0, 1, 3], dtype=np.int32)),
        damaged(indices=np.array([0, -1, 2], dtype=np.int32)),
        damaged(indptr=np.array([0, 2**30, 2, 3], dtype=np.int32)),
        damaged(indptr=np.array([0, 1, 2, 4], dtype=np.int32)),
        damaged(indptr=np.array([0.0, 1.0, 2.0, 3.0])),
        damaged(_shape=(2, 3)),
        damaged(_shape=(-1, 3)),
        damaged(_shape=(3, 2**70)),
        damaged(data=np.array([None, None, None])),
        pickle.dumps(np.array([[None]]), 2),
        pickle.dumps(np.array([["text"]]), 2),
        pickle.dumps(np.ones(3), 2),
        pickle.dumps(np.ones((1, 1), dtype=complex), 2),
        pickle.dumps([1, 2], 2),
    ],
)
def test_matrices_of_anything_but_numbers_in_their_place_are_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"matrix|array|ind"):
        read_matrix(content)


def test_a_graph_is_a_dictionary_of_lists() -> None:
    graph = {0: [1, 2], 1: [0], 2: []}
    assert read_graph(pickle.dumps(graph, 2)) == graph
    assert read_graph(pickle.dumps(defaultdict(list, graph), 2)) == graph
    for wrong in ([1], {"a": [1]}, {0: (1,)}, {0: [1.5]}, {0: [[1]]}, {0: [True]}):
        with pytest.raises(ValueError, match="graph"):
            read_graph(pickle.dumps(wrong, 2))


def test_a_list_that_is_named_again_and_again_is_refused() -> None:
    shared = [0] * 1000
    with pytest.raises(ValueError, match="more edges than its file has bytes"):
        read_graph(pickle.dumps(dict.fromkeys(range(1000), shared), 2))


def together(test: Any = (2, 3), graph: Any = None, **changes: Any) -> None:
    matrices: dict[str, Any] = {name: np.ones((2, 4)) for name in ("x", "tx", "allx")}
    matrices |= {name: np.ones((2, 3)) for name in ("y", "ty", "ally")}
    check_together(matrices | changes, graph or {0: [1], 3: [2]}, np.array(test), 1000)


def test_files_fit_together() -> None:
    together()
    for wrong in (
        {"test": (8, 9)},
        {"test": (-1, 2)},
        {"test": ()},
        {"graph": {0: [4]}},
        {"graph": {-1: [0]}},
        {"tx": np.ones((2, 5))},
    ):
        with pytest.raises(ValueError, match=r"node|columns"):
            together(**wrong)


def test_features_that_take_too_much_memory_name_the_option() -> None:
    wide = {name: sp.csr_matrix((2, 10**8)) for name in ("x", "tx", "allx")}
    with pytest.raises(ExcessError, match="MIXQ_RL_MAX_DATA_BYTES raises this limit"):
        together(**wide)
    with pytest.raises(ExcessError, match="features of"):
        together(test=(2, 10**9))


def test_what_was_read_is_written_as_it_was(tmp_path: Path) -> None:
    write_plain(tmp_path / "graph", {0: [1]})
    assert read_graph((tmp_path / "graph").read_bytes()) == {0: [1]}
