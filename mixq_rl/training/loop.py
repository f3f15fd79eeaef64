"""Training loop of float training, supernets and fine-tuning."""

import copy
import math
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, Self, TypeVar

import torch
from torch import Tensor, nn

from mixq_rl.errors import InputError

__all__ = ["Progress", "Schedule", "Score", "Trainable", "cosine", "optimize", "trainable_weights"]

Progress = Callable[[int, int], None]
"""Called with (epochs done, epochs in all)."""

Score = tuple[float, float]
"""Value of the task's metric on validation data, and minus the validation loss, which decides between equal values."""

T = TypeVar("T")

_PLATEAU_PATIENCE = 10
_PLATEAU_FACTOR = 0.5


@dataclass(frozen=True)
class Schedule:
    """Training schedule.

    Attributes:
        epochs: number of epochs, at least 0.
        learning_rate: learning rate of the weights, with Adam.
        weight_decay: weight decay of the weights.
        scale_learning_rate: learning rate of the quantizers' scales, which have no weight decay.
        decay: decay of both learning rates. ``"cosine"``: to 0. ``"plateau"``: halved after 10 epochs without a lower
            validation loss, constant without validation.
        batch_size: number of graphs in a step of a graph task, or of seed nodes in a step on part of a graph.
        label_weight: weight of the labels' cross-entropy, if there is a teacher; the distillation loss has weight 1.

    Raises:
        InputError: for a value out of bounds.
    """

    epochs: int
    learning_rate: float
    weight_decay: float = 5e-4
    scale_learning_rate: float = 1e-2
    decay: Literal["cosine", "plateau"] = "cosine"
    batch_size: int = 64
    label_weight: float = 0.1

    def __post_init__(self) -> None:
        if self.epochs < 0:
            raise InputError(f"{self.epochs} epochs: at least 0 are needed")
        if self.batch_size < 1:
            raise InputError(f"a batch of {self.batch_size}: at least 1 is needed")
        if not (self.learning_rate >= 0 and self.scale_learning_rate >= 0 and self.weight_decay >= 0):
            raise InputError("learning rates and weight decay must not be negative")
        if self.label_weight < 0:
            raise InputError(f"label weight {self.label_weight} is negative")
        if self.decay not in ("cosine", "plateau"):
            raise InputError(f"unknown decay {self.decay!r}: known are 'cosine' and 'plateau'")

    def lasting(self, epochs: int | None) -> Self:
        """Return the schedule with another number of epochs; None: the schedule itself."""
        return self if epochs is None else replace(self, epochs=epochs)


class Trainable(Protocol):
    """Object with parameters that can be trained, some of which may be quantizers' scales."""

    @property
    def quantizers(self) -> Sequence[nn.Module]: ...

    def parameters(self) -> Iterator[nn.Parameter]: ...

    def train(self) -> object: ...

    def eval(self) -> object: ...

    def state_dict(self) -> Mapping[str, Any]: ...

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> object: ...


def optimize(
    model: Trainable,
    schedule: Schedule,
    batches: Callable[[], Iterable[T]],
    loss: Callable[[T], Tensor],
    validate: Callable[[], Score] | None,
    progress: Progress | None,
    undecayed: Container[int] = (),
) -> None:
    """Train ``model`` in place. At the end it has the state of its best epoch by validation, or of its last epoch.

    Args:
        model: object to train.
        schedule: training schedule.
        batches: returns the batches of an epoch, one for each step.
        loss: returns the loss of a batch, in float or quantized arithmetic.
        validate: returns the score of the model, called in evaluation mode and without gradients; None: no validation.
        progress: called after each epoch.
        undecayed: ids of the parameters without weight decay, beside those of the quantizers.

    Raises:
        InputError: if the loss is NaN or infinite, or depends on no parameter that can be trained.
    """
    optimizer = _optimizer(model, schedule, undecayed)
    decay = _decay(optimizer, schedule)
    best, best_state = None, None
    if validate is not None:
        best, best_state = _scored(model, validate), copy.deepcopy(model.state_dict())
    for epoch in range(schedule.epochs):
        model.train()
        for batch in batches():
            optimizer.zero_grad()
            value = loss(batch)
            if not value.requires_grad:
                raise InputError(
                    "nothing can be trained: all weights that the loss depends on are frozen; set requires_grad of some"
                )
            if not math.isfinite(value.item()):
                raise InputError(
                    f"training diverged in epoch {epoch + 1}: the loss is {value.item()}; normalise the features"
                )
            value.backward()
            optimizer.step()
        score = None
        if validate is not None:
            score = _scored(model, validate)
            if best is None or score > best:
                best, best_state = score, copy.deepcopy(model.state_dict())
        if isinstance(decay, torch.optim.lr_scheduler.ReduceLROnPlateau):
            if score is not None:
                decay.step(score[1])
        else:
            decay.step()
        if progress is not None:
            progress(epoch + 1, schedule.epochs)
    if best_state is not None:
        model.load_state_dict(best_state)
    model.eval()


def trainable_weights(model: Trainable) -> list[nn.Parameter]:
    """Return the parameters that can be trained, without those of the quantizers."""
    of_quantizers = {id(parameter) for parameter in _scales(model)}
    return [each for each in model.parameters() if each.requires_grad and id(each) not in of_quantizers]


def _scales(model: Trainable) -> list[nn.Parameter]:
    return [parameter for quantizer in model.quantizers for parameter in quantizer.parameters()]


def _optimizer(model: Trainable, schedule: Schedule, undecayed: Container[int]) -> torch.optim.Adam:
    weights = trainable_weights(model)
    scales = [parameter for parameter in _scales(model) if parameter.requires_grad]
    decayed = [parameter for parameter in weights if id(parameter) not in undecayed]
    kept = [parameter for parameter in weights if id(parameter) in undecayed]
    return torch.optim.Adam(
        [
            {"params": decayed, "lr": schedule.learning_rate, "weight_decay": schedule.weight_decay},
            {"params": kept, "lr": schedule.learning_rate},
            {"params": scales, "lr": schedule.scale_learning_rate},
        ]
    )


def _decay(
    optimizer: torch.optim.Optimizer, schedule: Schedule
) -> torch.optim.lr_scheduler.LambdaLR | torch.optim.lr_scheduler.ReduceLROnPlateau:
    if schedule.decay == "plateau":
        return torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer,
            mode="max",
            factor=_PLATEAU_FACTOR,
            patience=_PLATEAU_PATIENCE,
            threshold=0,  # the scores are negative: with a relative threshold an equal score would count as better
        )
    epochs = max(schedule.epochs, 1)
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: cosine(epoch, epochs))


def cosine(epoch: int, epochs: int) -> float:
    """Return the factor of the cosine decay after ``epoch`` of ``epochs`` epochs: from 1 to 0."""
    return 0.5 * (1 + math.cos(math.pi * epoch / epochs))


@torch.no_grad()
def _scored(model: Trainable, validate: Callable[[], Score]) -> Score:
    model.eval()
    return validate()
