from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import mixq_rl
from mixq_rl import PreparationCache
from mixq_rl.agents.records.evaluator_config import EvaluatorConfig
from mixq_rl.datasets import GraphTask
from mixq_rl.evaluation.integer_evaluator import IntegerEvaluator
from mixq_rl.training import Progress

CONFIG = EvaluatorConfig(bits=(2, 8), evaluator="post-training")


class Stages:
    """Remembers what they did."""

    def __init__(self) -> None:
        self.done: list[str] = []

    @contextmanager
    def __call__(self, what: str, unit: str) -> Iterator[Progress]:
        self.done.append(what)
        yield lambda done, total: None


@pytest.fixture
def cache(tmp_path: Path) -> PreparationCache:
    return PreparationCache(tmp_path / "cache")


def prepare(
    config: EvaluatorConfig, task: GraphTask, cache: PreparationCache | None
) -> tuple[IntegerEvaluator, mixq_rl.QuantizableModel, list[str]]:
    stages = Stages()
    model = mixq_rl.build_model(config.model, task, hidden_channels=8, seed=config.seed)
    return config.prepare(task, model, stages, cache), model, stages.done


@pytest.mark.parametrize(
    ("evaluator", "trained"),
    [
        ("post-training", ["training in float32", "calibrating"]),
        ("supernet", ["training in float32", "training the supernet"]),
    ],
)
def test_what_was_prepared_is_loaded(
    task: GraphTask, cache: PreparationCache, evaluator: str, trained: list[str]
) -> None:
    config = replace(CONFIG, evaluator=evaluator)
    fresh, fresh_model, first = prepare(config, task, cache)
    again, model, second = prepare(config, task, cache)
    assert first == trained
    assert second == ["loading what was prepared"]
    assert again.fingerprint == fresh.fingerprint
    assert again.components == fresh.components == model.components == fresh_model.components
    assert model.training == fresh_model.training
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in fresh_model.state_dict().items())
    allocations = [(2,) * 9, (8,) * 9]
    evaluations = [[replace(e, seconds=0) for e in each.evaluate(allocations)] for each in (fresh, again)]
    assert evaluations[0] == evaluations[1]


def test_another_configuration_is_prepared_anew(task: GraphTask, cache: PreparationCache) -> None:
    _, _, trained = prepare(CONFIG, task, cache)
    for other in (replace(CONFIG, bits=(4, 8)), replace(CONFIG, seed=1)):
        assert prepare(other, task, cache)[2] == trained
    assert len(list(cache.path.iterdir())) == 3


def test_a_damaged_entry_is_prepared_anew_and_replaced(task: GraphTask, cache: PreparationCache) -> None:
    fresh, _, trained = prepare(CONFIG, task, cache)
    (entry,) = cache.path.iterdir()
    (entry / "preparation.json").write_text("garbage")
    anew, _, done = prepare(CONFIG, task, cache)
    assert (anew.fingerprint, done) == (fresh.fingerprint, trained)
    assert prepare(CONFIG, task, cache)[2] == ["loading what was prepared"]


def test_without_a_cache_everything_is_trained(task: GraphTask) -> None:
    assert prepare(CONFIG, task, None)[2] == ["training in float32", "calibrating"]
