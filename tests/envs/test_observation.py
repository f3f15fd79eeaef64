import numpy as np
import pytest

import mixq_rl
from mixq_rl.envs import FEATURES, observe
from mixq_rl.envs.observation import LOW


def entry(observation: np.ndarray, name: str) -> float:
    return float(observation[FEATURES.index(name)])


def test_is_bounded_and_of_fixed_width(evaluator: mixq_rl.SupernetEvaluator) -> None:
    for done in range(10):
        observation = observe(evaluator, (8,) * done, 1.0)
        assert observation.shape == (len(FEATURES),)
        assert observation.dtype == np.float32
        assert bool((observation >= LOW).all() and (observation <= 1).all())


def test_says_which_component_comes_next(evaluator: mixq_rl.SupernetEvaluator) -> None:
    for done, component in enumerate(evaluator.components):
        observation = observe(evaluator, (2,) * done, 0.3)
        assert entry(observation, f"kind_{component.kind}") == 1
        assert sum(entry(observation, name) for name in FEATURES if name.startswith("kind_")) == 1
        assert entry(observation, "position") == pytest.approx(done / 8)
        assert entry(observation, "layer") == component.layer
        assert entry(observation, "preference") == pytest.approx(0.3)


def test_remembers_what_was_chosen(evaluator: mixq_rl.SupernetEvaluator) -> None:
    assert entry(observe(evaluator, (), 0.0), "previous_bits") == 0
    assert entry(observe(evaluator, (), 0.0), "macs_left") == 1
    observation = observe(evaluator, (2, 8), 0.0)
    assert entry(observation, "previous_bits") == 1
    # Input and weight take part in the same multiply-accumulates: the mean of 2 and 8 bits is 5.
    assert entry(observation, "mean_bits") == pytest.approx(5 / 8)
    assert 0 < entry(observation, "macs_left") < 1


def test_states_of_different_components_differ(evaluator: mixq_rl.SupernetEvaluator) -> None:
    states = {observe(evaluator, (4,) * done, 0.5).tobytes() for done in range(9)}
    assert len(states) == 9
