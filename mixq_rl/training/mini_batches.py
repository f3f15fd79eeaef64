"""Choice of the mini-batches that a network is trained in."""

from collections.abc import Sequence
from dataclasses import replace

from mixq_rl.datasets import GraphTask
from mixq_rl.datasets.mini_batches import MiniBatches
from mixq_rl.errors import InputError
from mixq_rl.nn import QuantizableModel
from mixq_rl.nn.hops import count_hops, sums_neighbours

__all__ = ["WHOLE_GRAPH", "with_mini_batches"]

WHOLE_GRAPH = 0
"""Batch size of training on the whole graph."""

_MOST_WORK = 500_000_000
_BATCH_SIZE = 512
_FIRST_HOPS, _FURTHER = (10, 5, 3), 1


def with_mini_batches(
    task: GraphTask,
    model: QuantizableModel,
    *,
    batch_size: int | None = None,
    num_neighbors: Sequence[int] | None = None,
) -> GraphTask:
    """Return the task with the mini-batches that a network is trained in, and a note that says which.

    Without ``batch_size`` and ``num_neighbors`` a graph task keeps the batches of its training schedule, and a node
    task is trained on the whole graph in every step, unless the product of its edges and the widest aggregate exceeds
    500 million. Then 512 nodes in a step get 10 neighbours in the first hop, 5 in the second, 3 in the third and 1 in
    each further hop. A network that sums over neighbours without normalization is trained on the whole graph: sums over
    some of the neighbours are smaller, and not what the network is executed with.

    Args:
        task: task of the model.
        model: the network, with measured components.
        batch_size: seed nodes or graphs in a step; :data:`WHOLE_GRAPH` for the whole graph; None: as above, or 512 if
            ``num_neighbors`` is given.
        num_neighbors: greatest number of neighbours for each hop, -1 for all of them; ``(-1,)``: all of them in each
            hop; None: as above.

    Raises:
        InputError: for values that the task or the network cannot have.
    """
    given = batch_size is not None or num_neighbors is not None
    if task.kind == "graph":
        if num_neighbors is not None or batch_size is not None:
            return _divided(task, MiniBatches(1 if batch_size is None else batch_size, tuple(num_neighbors or ())))
        return task
    if batch_size == WHOLE_GRAPH:
        if num_neighbors is not None:
            raise InputError(f"a batch size of {WHOLE_GRAPH} is the whole graph, of which no neighbours are sampled")
        return task
    if not given:
        work = task.edge_index.shape[1] * _width(model)
        if work <= _MOST_WORK:
            return task
        if sums_neighbours(model):
            return _noted(task, "training takes the whole graph in every step: the network sums over all neighbours")
    hops = count_hops(model, task.num_features)
    numbers = tuple(num_neighbors) if num_neighbors is not None else (*_FIRST_HOPS[:hops], *[_FURTHER] * (hops - 3))
    if numbers == (-1,):
        numbers = (-1,) * hops
    if len(numbers) != hops:
        raise InputError(
            f"{','.join(map(str, numbers))} neighbours for a network of {hops} hops: give {hops} numbers, or -1 for all"
        )
    return _divided(task, MiniBatches(_BATCH_SIZE if batch_size is None else batch_size, numbers))


def _divided(task: GraphTask, batches: MiniBatches) -> GraphTask:
    divided = replace(task, mini_batches=batches)
    if task.kind == "graph":
        return _noted(divided, f"a step of training has {batches.batch_size} graphs")
    numbers = ", ".join("all" if number < 0 else str(number) for number in batches.num_neighbors)
    sampled = f" and at most {numbers} neighbours of each node, hop by hop" if numbers else ""
    return _noted(divided, f"a step of training has {batches.batch_size} nodes{sampled}, not the whole graph")


def _noted(task: GraphTask, note: str) -> GraphTask:
    return replace(task, notes=(*task.notes, note))


def _width(model: QuantizableModel) -> int:
    return max((component.shape[-1] for component in model.components if component.kind == "aggregate"), default=0)
