"""States of agents that a stranger altered: refused when they are restored, not while the agent learns."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch

from mixq_rl.agents import PPOAgent
from mixq_rl.envs import BitAllocationEnv
from mixq_rl.errors import ArtifactError
from tests.lookup_table import LookupTable

WEIGHT = "mlp_extractor.scorer.state.weight"
State = dict[str, Any]


@pytest.fixture(scope="module")
def state() -> State:
    return PPOAgent(BitAllocationEnv(LookupTable()), seed=0).learn(8).state_dict()


def moment(state: State) -> State:
    entry: State = state["ppo"]["optimizer"]["0"]
    return entry


ALTERATIONS: dict[str, Callable[[State], object]] = {
    "a weight that is not finite": lambda state: state["ppo"]["policy"][WEIGHT].fill_(float("nan")),
    "a weight of another shape": lambda state: state["ppo"]["policy"].update({WEIGHT: torch.zeros(3)}),
    "no weight": lambda state: state["ppo"]["policy"].pop(WEIGHT),
    "a moment of another shape": lambda state: moment(state).update({"exp_avg": torch.zeros(1, 1, 64)}),
    "a number in place of a moment": lambda state: moment(state).update({"exp_avg_sq": 0.5}),
    "a moment of no weight": lambda state: state["ppo"]["optimizer"].update({"999": moment(state)}),
    "a great number in NumPy's state": lambda state: state["global"]["numpy"][1].__setitem__(0, 2**63),
    "a negative number in Python's state": lambda state: state["global"].update({"python": (3, (-1,) * 625, None)}),
    "text in Python's state": lambda state: state["global"].update({"python": ("x", (1,) * 625, None)}),
    "no state of torch": lambda state: state["global"].update({"torch": torch.zeros(3)}),
    "a state that is a list": lambda state: state.update({"ppo": []}),
}


@pytest.mark.parametrize("name", ALTERATIONS)
def test_altered_states_are_refused_and_change_no_random_numbers(state: State, name: str) -> None:
    altered = copy.deepcopy(state)
    ALTERATIONS[name](altered)
    agent = PPOAgent(BitAllocationEnv(LookupTable()), seed=0)
    before = torch.get_rng_state()
    with pytest.raises(ArtifactError, match="the state is not one of this agent"):
        agent.load_state_dict(altered)
    assert torch.equal(torch.get_rng_state(), before)
