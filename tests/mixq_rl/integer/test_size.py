from pathlib import Path

import pytest

import mixq_rl
from mixq_rl.datasets import GraphTask
from tests.mixq_rl.integer.test_model_files import every_step
from tests.mixq_rl.nn.networks import calibrated, features, make_graph


@pytest.mark.parametrize(("bits", "stored"), [(1, 1), (2, 2), (3, 4), (4, 4), (6, 8), (8, 8)])
def test_weights_are_packed(
    any_bit_evaluator: mixq_rl.SupernetEvaluator, bits: int, stored: int, tmp_path: Path
) -> None:
    model = any_bit_evaluator.freeze([bits] * 9)
    model.save(tmp_path)
    size = mixq_rl.ModelSize.of(model, tmp_path)
    # A row of a weight begins at a byte of its own: 40 rows of 16 columns, and 16 rows of 3.
    assert size.weights == 40 * (16 * stored // 8) + 16 * -(-3 * stored // 8)
    assert size.float32 == 4 * (40 * 16 + 16 + 16 * 3 + 3)


def test_files_hold_the_tensors_and_a_description(
    evaluator: mixq_rl.SupernetEvaluator, task: GraphTask, tmp_path: Path
) -> None:
    model = evaluator.freeze([4] * 9)
    model.save(tmp_path)
    size = mixq_rl.ModelSize.of(model, tmp_path)
    assert size.files == sum(file.stat().st_size for file in tmp_path.iterdir())
    assert {file.name for file in tmp_path.iterdir()} == set(mixq_rl.IntegerModel.FILES)
    assert size.weights < size.tensors < (tmp_path / "integer_model.safetensors").stat().st_size


def test_the_float_network_has_its_normalisation_folded_in(tmp_path: Path) -> None:
    graph = make_graph(graphs=4)
    network = calibrated(every_step(), features(graph), graph)
    model = mixq_rl.IntegerModel.freeze(network, [4] * len(network.quantizers))
    model.save(tmp_path)
    # Linear 6 to 6 with bias; epsilon and Linear 6 to 6 with bias; attention 6 to 2 heads of 3, two vectors for each
    # head, bias; the norm's shift and the bias of the sum, as one; Linear 12 to 3 with bias.
    learned = (36 + 6) + (1 + 36 + 6) + (36 + 12 + 6) + 6 + (36 + 3)
    assert mixq_rl.ModelSize.of(model, tmp_path).float32 == 4 * learned


def test_few_bits_make_a_large_model_small(tmp_path: Path) -> None:
    task = mixq_rl.load_task("citation")
    evaluator = mixq_rl.PostTrainingEvaluator(mixq_rl.build_model("gcn", task), task)
    evaluator.freeze([2] * 9).save(tmp_path)
    size = mixq_rl.ModelSize.of(mixq_rl.IntegerModel.load(tmp_path), tmp_path)
    assert 10 < size.float32 / size.files < 16 == size.float32 // size.weights
