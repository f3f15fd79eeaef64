"""Settings of the agent."""

from dataclasses import asdict, dataclass

from mixq_rl.errors import InputError

__all__ = ["PPOSettings"]


@dataclass(frozen=True)
class PPOSettings:
    """Settings of :class:`~mixq_rl.agents.PPOAgent`; ``docs/search.md`` has measurements of each part.

    Attributes:
        batch: episodes evaluated together; once there are many, one sixteenth of those so far.
        candidates: allocations that the policy proposes, from which a batch is chosen.
        random_actions: mean number of actions of a proposed allocation that are drawn uniformly, not by the policy.
        mutations: small changes to the best known allocations, from which a batch is chosen as well.
        optimism: weight of the surrogate's standard deviation in the upper confidence bound.
        rollout_episodes: episodes of a model rollout on the surrogate.
        rollouts: model rollouts that PPO learns from after each batch.
        learning_rate, epochs, minibatches, entropy: of PPO.
        widths: of the policy's hidden layers.

    Raises:
        InputError: for a value out of bounds.
    """

    batch: int = 4
    candidates: int = 1024
    random_actions: float = 2.0
    mutations: int = 1024
    optimism: float = 1.0
    rollout_episodes: int = 128
    rollouts: int = 4
    learning_rate: float = 2e-3
    epochs: int = 5
    minibatches: int = 4
    entropy: float = 0.02
    widths: tuple[int, ...] = (64, 64)

    def __post_init__(self) -> None:
        least = {"batch": 1, "candidates": 1, "rollout_episodes": 2, "epochs": 1, "minibatches": 1}
        if not self.widths:
            raise InputError("widths of the policy are missing: name at least one hidden layer")
        for name, value in asdict(self).items():
            if name != "widths" and not value >= least.get(name, 0):
                raise InputError(f"setting {name} of PPO is {value}: at least {least.get(name, 0)} is needed")
