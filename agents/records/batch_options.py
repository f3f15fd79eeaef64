"""Mini-batches as options: seed nodes or graphs in a step, and neighbours of each hop."""

import logging
from typing import Any

from mixq_rl.datasets import GraphTask
from mixq_rl.datasets.mini_batches import MiniBatches
from mixq_rl.errors import InputError
from mixq_rl.nn import QuantizableModel
from mixq_rl.training.mini_batches import WHOLE_GRAPH, with_mini_batches

__all__ = ["BATCH_SIZE", "NUM_NEIGHBORS", "batched", "check_batches"]

_logger = logging.getLogger("mixq_rl.data")

BATCH_SIZE: dict[str, Any] = {
    "help": "Nodes, or graphs, in a step of training. A step has these nodes and neighbours of theirs. 0: the whole "
    "graph in every step.",
    "show_default": "the whole graph, of large graphs 512 nodes; 32 graphs",
}
NUM_NEIGHBORS: dict[str, Any] = {
    "help": "Neighbours that a node gets in a step of training, one number for each hop: 10,5. -1: all of them.",
    "metavar": "N,N",
    "show_default": "10,5,3 and then 1, if a step has part of the graph",
}


def check_batches(batch_size: int | None, num_neighbors: str | None) -> None:
    """Check the options as far as no network is needed.

    Raises:
        InputError: for a value out of bounds, or numbers of neighbours without any sampling.
    """
    numbers = _numbers(num_neighbors)
    if batch_size == WHOLE_GRAPH:
        if numbers is not None:
            raise InputError(
                f"--num-neighbors {num_neighbors} and --batch-size 0, the whole graph: choose one of the two"
            )
        return
    MiniBatches(1 if batch_size is None else batch_size, numbers or ())


def batched(task: GraphTask, network: QuantizableModel, batch_size: int | None, num_neighbors: str | None) -> GraphTask:
    """Return the task with the mini-batches that the options ask for. What is not the default is logged, and noted.

    Raises:
        InputError: as in :func:`~mixq_rl.training.mini_batches.with_mini_batches`.
    """
    divided = with_mini_batches(task, network, batch_size=batch_size, num_neighbors=_numbers(num_neighbors))
    for note in divided.notes[len(task.notes) :]:
        _logger.info("%s: %s", task.name, note)
    return divided


def _numbers(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(f"--num-neighbors {text!r} is not a list of whole numbers such as 10,5") from error
