"""Finalists that workers fine-tune are those of this process, bit for bit."""

from pathlib import Path

import pytest

import mixq_rl
from mixq_rl.agents.runs.finalists import fine_tune_finalists
from mixq_rl.errors import EvaluationError
from mixq_rl.evaluation.ray_connection import ATTEMPTS
from mixq_rl.evaluation.ray_evaluator import RayEvaluator
from mixq_rl.evaluation.ray_workers import RayWorkers
from mixq_rl.training.preparation import PreparedNetwork, prepare_supernet
from tests.mixq_rl.evaluation.ray_networks import Short

LABELLED = [("uniform 8", (8,) * 9), ("uniform 2", (2,) * 9), ("agent 1", (4, 2, 8) * 3), ("agent 2", (8, 4, 2) * 3)]


@pytest.fixture(scope="module")
def prepared(float_model: mixq_rl.QuantizableModel, task: mixq_rl.GraphTask) -> PreparedNetwork:
    return prepare_supernet(float_model, task, (2, 4, 8), seed=0, epochs=3)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("deaths", [0, ATTEMPTS - 1])
def test_workers_fine_tune_the_same_networks(
    workers: RayWorkers, prepared: PreparedNetwork, tmp_path: Path, deaths: int
) -> None:
    alone, others = Short(prepared, tmp_path, 0), Short(prepared, tmp_path, deaths)
    fine_tune_finalists(alone, LABELLED, seed=3, folder=tmp_path / "alone")
    (tmp_path / "begun").unlink()
    told: list[tuple[int, int]] = []
    models = fine_tune_finalists(
        others,
        LABELLED,
        seed=3,
        folder=tmp_path / "worked",
        progress=lambda done, total: told.append((done, total)),
        workers=RayEvaluator(others, workers),
    )
    assert [(label, model.allocation) for label, model in models] == LABELLED
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert files(tmp_path / "worked") == files(tmp_path / "alone")
    assert sorted((tmp_path / "begun").read_text().split()) == sorted(["8", "2", "4", "8"] + ["2"] * deaths)


def test_a_network_whose_workers_die_ends_the_run_and_the_others_are_kept(
    workers: RayWorkers, prepared: PreparedNetwork, tmp_path: Path
) -> None:
    deadly, folder = Short(prepared, tmp_path, ATTEMPTS), tmp_path / "finalists"
    fine_tune_finalists(deadly, LABELLED[:1], seed=3, folder=folder, workers=RayEvaluator(deadly, workers))
    message = "^the network of allocation 2,2,2,2,2,2,2,2,2 cannot be fine-tuned: its worker died "
    with pytest.raises(EvaluationError, match=message):
        fine_tune_finalists(deadly, LABELLED[:2], seed=3, folder=folder, workers=RayEvaluator(deadly, workers))
    assert [path.name for path in folder.iterdir()] == ["uniform-8"]
    fine_tune_finalists(deadly, LABELLED, seed=3, folder=folder, workers=RayEvaluator(deadly, workers))
    assert (tmp_path / "begun").read_text().split().count("2") == ATTEMPTS + 1
    alone = Short(prepared, tmp_path, 0)
    fine_tune_finalists(alone, LABELLED, seed=3, folder=tmp_path / "alone")
    assert files(folder) == files(tmp_path / "alone")


def test_an_error_in_a_fine_tuning_is_the_workers_own(
    workers: RayWorkers, prepared: PreparedNetwork, tmp_path: Path
) -> None:
    short = Short(prepared, tmp_path, 0)
    with pytest.raises(EvaluationError, match=r"allocation 3,3,.*: bit-width 3 of component .* is not among"):
        list(RayEvaluator(short, workers).fine_tune([(3,) * 9], seed=0))
