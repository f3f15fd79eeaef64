"""Settings of the agent."""

from dataclasses import asdict, dataclass

from mixq_rl.errors import InputError

__all__ = ["PPOSettings"]


@dataclass(frozen=True)
class PPOSettings:
    """Settings of :class:`~mixq_rl.agents.PPOAgent`; ``docs/search.md`` has measurements of each part.

    Attributes:
        batch: number of allocations evaluated together, or one sixteenth of the evaluations so far if that is more.
        candidates: number of allocations that the policy proposes for a batch.
        random_actions: mean number of actions of a proposed allocation that are drawn uniformly, not by the policy.
        mutations: number of small changes to the best known allocations, which are candidates for a batch as well.
        optimism: weight of the surrogate's standard deviation in the upper confidence bound.
        rollout_episodes: number of episodes in a model rollout on the surrogate.
        rollouts: number of model rollouts that PPO learns from after each batch; 0: the policy never learns.
        last_rollouts: number of model rollouts after the last batch, for the policy that remains, if it learns.
        learning_rate: learning rate of PPO.
        epochs: number of passes of PPO over each rollout.
        minibatches: number of minibatches in a pass.
        entropy: weight of the entropy in PPO's loss.
        widths: widths of the policy's hidden layers.

    Raises:
        InputError: for a value out of bounds.
    """

    batch: int = 4
    candidates: int = 1024
    random_actions: float = 2.0
    mutations: int = 1024
    optimism: float = 1.0
    rollout_episodes: int = 128
    rollouts: int = 1
    last_rollouts: int = 32
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
