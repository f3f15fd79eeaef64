"""Network of a configuration: built by name, or made by a Python file of the user."""

import logging
from dataclasses import replace
from pathlib import Path

from mixq_rl.datasets import GraphTask
from mixq_rl.errors import InputError
from mixq_rl.nn import QuantizableModel, build_model, models, prepare
from mixq_rl.nn.model_file import ModelFile, load_model, names_file
from mixq_rl.nn.weights import load_weights

__all__ = ["NETWORK", "WEIGHTS", "check_network", "load_network", "network_label"]

_logger = logging.getLogger("mixq_rl.data")

NETWORK = (
    f"Network: {', '.join(models)}; or FILE.py:NAME, a class or function of your own that makes a PyTorch model. The "
    "file is executed."
)
WEIGHTS = (
    "File with trained weights of the network, which is then not trained in float32: .safetensors, or .pt of "
    "torch.save(model.state_dict(), ...)."
)


def check_network(model: str, num_layers: int | None, hidden_channels: int | None) -> None:
    """Check the name of a network, and that sizes are not given for one of a file.

    Raises:
        InputError: for an unknown name, a text that does not name a class or function in a Python file, or such sizes.
    """
    if not names_file(model):
        models[model]
        return
    ModelFile.parse(model)
    if num_layers is not None or hidden_channels is not None:
        raise InputError(f"model {model!r} has the layers and widths that its file gives it: leave these options out")


def network_label(model: str) -> str:
    """Return the name of a network for titles: that of a file is without its folder."""
    return ModelFile.parse(model).label if names_file(model) else model


def load_network(
    model: str,
    task: GraphTask,
    *,
    weights: str | None = None,
    num_layers: int | None = None,
    hidden_channels: int | None = None,
    seed: int = 0,
) -> tuple[GraphTask, QuantizableModel]:
    """Return the task as the network takes it, and the network on its device, with random weights or those of a file.

    A task loses edge weights that the network does not take. What is done to the data is logged, and in the task's
    notes.

    Raises:
        InputError: as in :func:`mixq_rl.build_model`, :func:`~mixq_rl.nn.model_file.load_model` and
            :func:`~mixq_rl.nn.weights.load_weights`.
    """
    if names_file(model):
        network = load_model(model, task, weights=weights, seed=seed)
    else:
        if task.edge_weight is not None and not models[model].takes_weights:
            task = _noted(replace(task, edge_weight=None), f"the edge weights are not used: {model} takes none")
        network = build_model(model, task, hidden_channels=hidden_channels, num_layers=num_layers, seed=seed)
        if weights is not None:
            load_weights(network, Path(weights))
            network = prepare(network, task)  # measures the components
    return task if network.scaling is None else _noted(task, str(network.scaling)), network


def _noted(task: GraphTask, note: str) -> GraphTask:
    _logger.info("%s: %s", task.name, note)
    return replace(task, notes=(*task.notes, note))
