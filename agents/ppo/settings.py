"""What the agent goes by."""

from dataclasses import asdict, dataclass

from mixq_rl.errors import InputError

__all__ = ["PPOSettings"]


@dataclass(frozen=True)
class PPOSettings:
    """What :class:`PPOAgent` goes by; ``docs/search.md`` has what each part is worth.

    Attributes:
        batch: episodes evaluated together; once there are many, one sixteenth of those so far.
        candidates: imagined with the policy to choose a batch from.
        strays: actions of an episode that are drawn uniformly in place of the policy's, there, on the average.
        mutations: of the best known allocations, to choose a batch from beside the candidates.
        optimism: in the choice, in deviations of the surrogate.
        imagined: episodes of a rollout in imagination.
        rollouts: to learn from after each batch.
        learning_rate, epochs, minibatches, entropy: of PPO.
        widths: of the policy's hidden layers.

    Raises:
        InputError: for a value out of bounds.
    """

    batch: int = 4
    candidates: int = 1024
    strays: float = 2.0
    mutations: int = 1024
    optimism: float = 1.0
    imagined: int = 128
    rollouts: int = 4
    learning_rate: float = 2e-3
    epochs: int = 5
    minibatches: int = 4
    entropy: float = 0.02
    widths: tuple[int, ...] = (64, 64)

    def __post_init__(self) -> None:
        least = {"batch": 1, "candidates": 1, "imagined": 2, "epochs": 1, "minibatches": 1}
        if not self.widths:
            raise InputError("widths of the policy are missing: name at least one hidden layer")
        for name, value in asdict(self).items():
            if name != "widths" and not value >= least.get(name, 0):
                raise InputError(f"setting {name} of PPO is {value}: at least {least.get(name, 0)} is needed")
