"""Division of an epoch of training into steps."""

from dataclasses import dataclass

from mixq_rl.errors import InputError

__all__ = ["MiniBatches"]


@dataclass(frozen=True)
class MiniBatches:
    """Division of an epoch of training into steps.

    Attributes:
        batch_size: number of seed nodes in a step, whose outputs have a loss; at least 2, because batch normalisation
            needs more than one. In a graph task the number of graphs, at least 1.
        num_neighbors: greatest number of neighbours that a node gets, for each hop away from the seeds; -1: all of
            them. Empty in a graph task, whose graphs are whole.

    Raises:
        InputError: for a value out of bounds.
    """

    batch_size: int
    num_neighbors: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise InputError(f"a batch of {self.batch_size}: at least 1 is needed")
        for number in self.num_neighbors:
            if number != -1 and number < 1:
                raise InputError(f"{number} neighbours: at least 1 is needed, or -1 for all of them")

    def check(self, kind: str) -> None:
        """Check the division for a kind of task, ``"node"`` or ``"graph"``.

        Raises:
            InputError: for one seed node in a step, or numbers of neighbours in a graph task.
        """
        if kind == "graph" and self.num_neighbors:
            raise InputError(
                "neighbours are sampled where nodes are classified: a step of a graph task has whole graphs"
            )
        if kind == "node" and self.batch_size < 2:
            raise InputError("a batch of 1 seed node: at least 2 are needed, because batch normalisation needs several")
