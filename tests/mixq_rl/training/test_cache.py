import copy
import errno
import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import mixq_rl
from mixq_rl.datasets import GraphTask
from mixq_rl.errors import ArtifactError, InputError
from mixq_rl.evaluation.integer_evaluator import IntegerEvaluator
from mixq_rl.evaluation.protocol import Evaluation
from mixq_rl.nn import Node
from mixq_rl.quantization import schemes
from mixq_rl.training import cache as preparation_cache
from mixq_rl.training.cache import Preparation, PreparationCache
from mixq_rl.training.preparation import restore_prepared
from tests.conftest import make_classified_graphs, make_task

KEY = "a" * 64
BITS = (2, 4, 8)


@pytest.fixture
def cache(tmp_path: Path) -> PreparationCache:
    return PreparationCache(tmp_path / "new" / "cache")


@pytest.fixture
def preparation() -> Preparation:
    return Preparation({"weight": torch.arange(6.0).view(2, 3)}, {"bits": torch.tensor(4)}, torch.full((3, 2), 0.5))


def assert_same(found: Preparation | None, kept: Preparation) -> None:
    assert found is not None
    assert torch.equal(found.teacher, kept.teacher)
    for state, expected in ((found.float_state, kept.float_state), (found.evaluator_state, kept.evaluator_state)):
        assert state.keys() == expected.keys()
        assert all(torch.equal(tensor, expected[name]) for name, tensor in state.items())


def untimed(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    return [replace(evaluation, seconds=0) for evaluation in evaluations]


def assert_same_evaluator(again: IntegerEvaluator, fresh: IntegerEvaluator) -> None:
    count = len(fresh.components)
    mixed = tuple(BITS[place % 3] for place in range(count))
    allocations = [(2,) * count, (8,) * count, mixed]
    assert again.fingerprint == fresh.fingerprint
    assert again.components == fresh.components
    assert torch.equal(again.teacher, fresh.teacher)
    assert untimed([again.reference]) == untimed([fresh.reference])
    assert untimed(again.evaluate(allocations)) == untimed(fresh.evaluate(allocations))
    inputs = fresh.task.inputs("validation")
    tuned = [each.fine_tune(mixed, seed=1, epochs=2) for each in (again, fresh)]
    first, second = (model(inputs.x, inputs.graph.edge_index, batch=inputs.graph.batch) for model in tuned)
    assert torch.equal(first, second)


@pytest.fixture(scope="module")
def graph_model(graph_task: GraphTask) -> mixq_rl.QuantizableModel:
    model = mixq_rl.build_model("gin", graph_task, hidden_channels=8, num_layers=2)
    return mixq_rl.fit(model, graph_task, epochs=3)


@pytest.fixture(scope="module", params=["node", "graph"])
def trained(
    request: pytest.FixtureRequest,
    task: GraphTask,
    float_model: mixq_rl.QuantizableModel,
    graph_task: GraphTask,
    graph_model: mixq_rl.QuantizableModel,
) -> tuple[mixq_rl.QuantizableModel, GraphTask]:
    """A float-trained network and its task."""
    return (float_model, task) if request.param == "node" else (graph_model, graph_task)


@pytest.mark.parametrize("scheme", list(schemes))
def test_evaluators_are_restored_without_training(
    scheme: str, trained: tuple[mixq_rl.QuantizableModel, GraphTask], cache: PreparationCache
) -> None:
    model, task = trained
    fresh = mixq_rl.SupernetEvaluator(model, task, bit_widths=BITS, scheme=schemes[scheme], epochs=2)
    cache.put(KEY, Preparation(model.state_dict(), fresh.model.state_dict(), fresh.teacher))
    kept, blank = cache.get(KEY), copy.deepcopy(model)
    assert kept is not None
    blank.reset_parameters()
    blank.load_state_dict(kept.float_state)
    prepared = restore_prepared(blank, task, BITS, kept, scheme=schemes[scheme])
    again = mixq_rl.SupernetEvaluator.of(prepared, epochs=2)
    assert_same_evaluator(again, fresh)


@pytest.mark.parametrize("kind", ["fine-tune", "post-training"])
def test_what_is_only_calibrated_is_restored_too(
    kind: str, trained: tuple[mixq_rl.QuantizableModel, GraphTask]
) -> None:
    model, task = trained
    fresh = mixq_rl.evaluators[kind](model, task, bit_widths=BITS, epochs=1)
    prepared = restore_prepared(model, task, BITS, Preparation({}, fresh.model.state_dict(), fresh.teacher))
    again = mixq_rl.evaluators[kind].of(prepared, epochs=1)
    assert_same_evaluator(again, fresh)


def test_state_of_other_bit_widths_is_refused(task: GraphTask, float_model: mixq_rl.QuantizableModel) -> None:
    fresh = mixq_rl.PostTrainingEvaluator(float_model, task, bit_widths=(2, 8))
    with pytest.raises(ArtifactError, match=r"not that of this network: 'input.scales.log_scales.4' is missing"):
        restore_prepared(float_model, task, BITS, Preparation({}, fresh.model.state_dict(), fresh.teacher))


def key_of(model: mixq_rl.QuantizableModel, task: GraphTask, **changes: object) -> str:
    arguments = {"evaluator": mixq_rl.SupernetEvaluator, "bit_widths": BITS, "scheme": schemes["lsq"]} | changes
    return PreparationCache.key(model, task, **arguments)  # type: ignore[arg-type]


def gcn(task: GraphTask, **options: object) -> mixq_rl.QuantizableModel:
    return mixq_rl.build_model("gcn", task, **({"hidden_channels": 8, "seed": 0} | options))  # type: ignore[arg-type]


def test_the_key_is_that_of_the_content() -> None:
    task, again = make_task(), make_task()
    assert (
        key_of(gcn(task), task)
        == key_of(gcn(again), replace(again, name="the same"))
        != key_of(gcn(task, seed=1), task)
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"epochs": 5},
        {"bit_widths": (2, 8)},
        {"scheme": schemes["a2q"]},
        {"evaluator": mixq_rl.PostTrainingEvaluator},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_other_arguments_give_another_key(task: GraphTask, changes: dict[str, object]) -> None:
    assert key_of(gcn(task), task, **changes) != key_of(gcn(task), task)


@pytest.mark.parametrize(
    "other",
    [
        lambda task: replace(task, x=task.x * 2),
        lambda task: replace(task, edge_index=task.edge_index.flip(1)),
        lambda task: replace(task, y=task.y.flip(0)),
        lambda task: replace(task, masks={"train": task.masks["test"], "test": task.masks["train"]}),
        lambda task: replace(task, edge_weight=torch.ones(task.edge_index.shape[1])),
        lambda task: replace(task, arbitrary_sign=torch.ones(task.num_features, dtype=torch.bool)),
    ],
    ids=["x", "edge_index", "y", "masks", "edge_weight", "arbitrary_sign"],
)
def test_other_data_give_another_key(task: GraphTask, other: Callable[[GraphTask], GraphTask]) -> None:
    assert key_of(gcn(task), other(task)) != key_of(gcn(task), task)


def test_other_networks_give_another_key(task: GraphTask) -> None:
    networks = [gcn(task), gcn(task, dropout=0.1), gcn(task, num_layers=3), mixq_rl.build_model("sage", task)]
    rewired = gcn(task)
    rewired.nodes = (*rewired.nodes[:-1], Node("conv2", rewired.nodes[-1].layer, ("conv1",)))
    assert len({key_of(network, task) for network in (*networks, rewired)}) == 5


def test_node_and_graph_tasks_have_keys_of_their_own() -> None:
    graphs = make_classified_graphs()
    model = mixq_rl.build_model("gin", graphs, hidden_channels=8)
    assert key_of(model, graphs) != key_of(model, make_classified_graphs(seed=1))


def test_what_was_put_is_found(cache: PreparationCache, preparation: Preparation) -> None:
    assert cache.get(KEY) is None
    cache.put(KEY, preparation)
    assert_same(PreparationCache(cache.path).get(KEY), preparation)
    assert cache.get("b" * 64) is None
    assert [entry.name for entry in cache.path.iterdir()] == [KEY]


def test_tensors_may_share_memory(cache: PreparationCache) -> None:
    tied = torch.arange(4.0)
    preparation = Preparation({"a": tied, "b": tied.view(2, 2).T}, {"a": tied}, tied)
    cache.put(KEY, preparation)
    assert_same(cache.get(KEY), preparation)


def test_the_first_of_two_stays(cache: PreparationCache, preparation: Preparation) -> None:
    cache.put(KEY, preparation)
    cache.put(KEY, Preparation({}, {"other": torch.zeros(1)}, torch.zeros(1)))
    assert_same(cache.get(KEY), preparation)
    assert len(list(cache.path.iterdir())) == 1


def test_one_of_many_at_a_time_stays(cache: PreparationCache, preparation: Preparation) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: PreparationCache(cache.path).put(KEY, preparation), range(32)))
    assert_same(cache.get(KEY), preparation)
    assert len(list(cache.path.iterdir())) == 1


def truncate(entry: Path) -> None:
    file = entry / "preparation.safetensors"
    file.write_bytes(file.read_bytes()[:-5])


def flip_a_bit(entry: Path) -> None:
    file = entry / "preparation.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def replace_by_a_file(entry: Path) -> None:
    entry.rename(entry.with_name("elsewhere"))
    entry.write_text("no folder")


def take_from_another_key(entry: Path) -> None:
    cache = PreparationCache(entry.parent)
    cache.put("c" * 64, Preparation({}, {"other": torch.zeros(1)}, torch.zeros(1)))
    for file in (entry.parent / ("c" * 64)).iterdir():
        file.replace(entry / file.name)


@pytest.mark.parametrize(
    "damage",
    [
        truncate,
        flip_a_bit,
        replace_by_a_file,
        take_from_another_key,
        lambda entry: (entry / "preparation.safetensors").unlink(),
        lambda entry: (entry / "preparation.json").write_bytes(b"\xff{garbage"),
        lambda entry: (entry / "preparation.json").write_text('{"format": "mixq_rl/preparation", "version": 99}'),
        lambda entry: (entry / "preparation.json").write_text('{"format": "mixq_rl/preparation", "version": 1}'),
    ],
    ids=["truncated", "bit", "file", "other key", "no tensors", "garbage", "other version", "no checksum"],
)
def test_damaged_entries_are_none_and_are_replaced(
    cache: PreparationCache, preparation: Preparation, damage: Callable[[Path], None]
) -> None:
    cache.put(KEY, preparation)
    damage(cache.path / KEY)
    assert cache.get(KEY) is None
    cache.put(KEY, preparation)
    assert_same(cache.get(KEY), preparation)


def test_who_is_killed_while_writing_leaves_no_entry(
    cache: PreparationCache, preparation: Preparation, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException): ...

    def half(path: Path, *arguments: object) -> None:
        path.mkdir()
        (path / "preparation.safetensors").write_bytes(b"half")
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(preparation_cache, "save_artifact", half)
        patch.setattr(shutil, "rmtree", lambda *arguments, **options: None)
        with pytest.raises(Killed):
            cache.put(KEY, preparation)
    assert len(list(cache.path.iterdir())) == 1  # what was being written
    assert cache.get(KEY) is None
    cache.put(KEY, preparation)
    assert_same(cache.get(KEY), preparation)


def test_a_folder_that_cannot_be_written_is_an_error_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "cache"):
        with pytest.raises(InputError, match=f"^the cache folder {path} cannot be written: [^\n]+$"):
            PreparationCache(path).open()


def test_a_read_only_folder_is_an_error_from_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "mkdir", refuse)  # permissions would not stop root
    with pytest.raises(InputError, match="cannot be written: Permission denied"):
        PreparationCache(tmp_path).open()


def test_a_folder_that_is_gone_is_an_error_or_made_anew(cache: PreparationCache, preparation: Preparation) -> None:
    assert cache.get(KEY) is None
    assert not cache.path.exists()
    cache.put(KEY, preparation)
    cache.path.rename(cache.path.with_name("elsewhere"))
    cache.path.write_text("")
    with pytest.raises(InputError, match=r"cannot be written: [^\n]+$"):
        cache.put(KEY, preparation)
