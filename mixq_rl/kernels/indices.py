"""Proof, before execution, that no index of a graph leads out of bounds; given once for each graph."""

from weakref import ref

import torch
from torch import Tensor

from mixq_rl.errors import InvalidGraphError

__all__ = ["check_indices"]

_PROOF = "_mixq_rl_checked_indices"


def check_indices(rowptr: Tensor, col: Tensor, num_nodes: int) -> None:
    """Check that ``rowptr`` ascends from 0 to the number of edges and that ``col`` names nodes that exist.

    A graph that passed is remembered for as long as its tensors live and are not written to.

    Raises:
        InvalidGraphError: naming the offender.
    """
    if rowptr.is_inference() or col.is_inference():  # which do not tell whether they were written to
        _check(rowptr, col, num_nodes)
        return
    # Kept with the tensor itself, so that it lives as long and is found without a search.
    proof = getattr(col, _PROOF, None)
    if proof is not None:
        proven_rowptr, versions, proven_nodes = proof
        if proven_rowptr() is rowptr and versions == (rowptr._version, col._version) and proven_nodes <= num_nodes:
            return
    _check(rowptr, col, num_nodes)
    setattr(col, _PROOF, (ref(rowptr), (rowptr._version, col._version), num_nodes))


def _check(rowptr: Tensor, col: Tensor, num_nodes: int) -> None:
    ends = torch.stack([rowptr[0], rowptr[-1], rowptr.diff().amin() if rowptr.numel() > 1 else rowptr.new_zeros(())])
    first, last, step = ends.tolist()
    if first != 0 or last != col.numel() or step < 0:
        raise InvalidGraphError(
            f"rowptr must ascend from 0 to the number of edges, {col.numel()}: it goes from {first} to {last}"
            + (" and descends on the way" if step < 0 else "")
        )
    if col.numel() == 0:
        return
    low, high = torch.stack(torch.aminmax(col)).tolist()
    if low < 0 or high >= num_nodes:
        offender = low if low < 0 else high
        raise InvalidGraphError(f"col names node {offender}, but there are rows for nodes 0...{num_nodes - 1}")
