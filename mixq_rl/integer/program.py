"""Export of integer networks as programs of torch, which need only torch and the operators of the kernels."""

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from mixq_rl.errors import InputError
from mixq_rl.integer.model import IntegerModel

__all__ = ["export_program"]

_EXAMPLE_EDGES = ((0, 1, 2, 2, 3, 4), (1, 0, 2, 3, 2, 4))
_EXAMPLE_BATCH = (0, 0, 1, 1, 1)


class _Callable(nn.Module):
    """Module that calls an integer model, for the trace of torch."""

    def __init__(self, model: IntegerModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None, batch: Tensor | None = None
    ) -> Tensor:
        return self.model(x, edge_index, edge_weight, batch)


def export_program(model: IntegerModel) -> ExportedProgram:
    """Return an integer model as a program that ``torch.export.save`` writes and ``torch.export.load`` reads.

    The program takes any graph of one node or more, also one that was not in training. It normalises and quantizes the
    adjacency and quantizes the features like :class:`~mixq_rl.IntegerModel`, and gives the same logits bit for bit. Its
    arguments are ``x`` (float32 ``[nodes, features]``) and ``edge_index`` (int64 ``[2, edges]``). If the network uses
    them, the keywords ``edge_weight`` (float32 ``[edges]``) and ``batch`` (int64 ``[nodes]``) are required too. The
    program calls the operators ``torch.ops.mixq_rl``: ``import mixq_rl.kernels`` before loading it.

    The program checks graphs while it runs. A RuntimeError names the fault: features that are not finite, an edge to a
    node that does not exist, or a node with so many neighbours that an int32 sum might overflow.

    The program runs on the device of the model.

    Args:
        model: any integer model.

    Raises:
        InputError: for a network that accepts any number of features.
    """
    features = model.num_features
    if features is None:
        raise InputError("no step of this network says how many features a node has: a program needs to know")
    device = model.device
    edge_index = torch.tensor(_EXAMPLE_EDGES, device=device)
    batch = torch.tensor(_EXAMPLE_BATCH, device=device)
    x = torch.ones(batch.numel(), features, device=device)
    # Self-loops add an edge for each node, and 32-bit indices count all copies that a step makes of each edge.
    most = (2**31 - 1) // (2 * max(step.edge_copies for step in model.steps))
    nodes, edges = Dim("nodes", min=1, max=most), Dim("edges", max=most)
    extra: dict[str, Tensor] = {}
    sizes = {"x": {0: nodes}, "edge_index": {1: edges}}
    if model.takes_edge_weight:
        extra["edge_weight"], sizes["edge_weight"] = torch.ones(edge_index.shape[1], device=device), {0: edges}
    if model.classifies_graphs:
        extra["batch"], sizes["batch"] = batch, {0: nodes}
    with torch.no_grad():
        program = torch.export.export(_Callable(model), (x, edge_index), extra, dynamic_shapes=sizes)
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # names files of this machine
    return program
