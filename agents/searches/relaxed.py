"""MixQ's differentiable search: a softmax over bit-widths, and a penalty on bits."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from scipy.stats import qmc
from torch import Tensor, nn

from mixq_rl.agents.searches.problem import SearchProblem
from mixq_rl.datasets import GraphInputs
from mixq_rl.devices import deterministic
from mixq_rl.envs import Limits
from mixq_rl.errors import InputError
from mixq_rl.evaluation.integer_evaluator import IntegerEvaluator
from mixq_rl.evaluation.ledger import Ledger
from mixq_rl.evaluation.protocol import Evaluator
from mixq_rl.evaluation.ray_evaluator import RayEvaluator
from mixq_rl.nn import QuantizableModel
from mixq_rl.nn.batch_norm import batch_norms
from mixq_rl.quantization import MAX_BITS, LearnedQuantizer, Quantizer
from mixq_rl.quantization.quantizer import nonzero, row_magnitude
from mixq_rl.randomness import seeded
from mixq_rl.sparse import SparseMatrix
from mixq_rl.training.loop import Schedule, optimize
from mixq_rl.training.losses import distilled_loss

__all__ = ["relaxed"]

_STEPS, _BATCH_SIZE = 20, 64
_LEARNING_RATE = 0.3
_LEAST_PENALTY, _GREATEST_PENALTY = 1e-3, 30.0
_PENALTIES = 64


def relaxed(problem: SearchProblem) -> None:
    """Learn a softmax over bit-widths for each component, and evaluate the most likely allocation after each epoch.

    The search of MixQ-GNN (ICDE 2025). In the float forward, the softmax weights the quantized values of a component at
    all bit-widths, and their sum replaces the component's real values. Forward hooks of the quantizers do that. The
    loss has a penalty: λ times the expected mean bit-width, weighted by multiply-accumulates. Bit-widths that a
    component may not have take no part. Batch normalisation uses the statistics of each batch. A most likely allocation
    that does not keep the other limits is evaluated with fewer bits for its later components.

    One λ gives one trade-off. The search takes up to 64 values of λ between 0.001 and 30, one after another, in an
    order that covers the range ever more finely. Each may take one evaluation per epoch. The network's weights do not
    change.

    Raises:
        InputError: if the evaluator has no network to differentiate.
    """
    evaluator = _network(problem.evaluator)
    # Normalisation by the statistics of batches changes the running ones, here those of a copy.
    model = copy.deepcopy(evaluator.model) if batch_norms(evaluator.model) else evaluator.model
    for index, penalty in enumerate(_penalties()):
        whole_graph = evaluator.task.kind == "node" and evaluator.task.mini_batches is None
        mixture = _Mixture(model, problem.limits, whole_graph=whole_graph)
        _train(mixture, evaluator, problem, penalty, seed=problem.seed * _PENALTIES + index)


def _penalties() -> list[float]:
    """Return the values of λ: logarithms in the order of van der Corput's sequence, 0, 1/2, 1/4, 3/4, 1/8, ..."""
    exponents = qmc.Halton(d=1, scramble=False).random(_PENALTIES)[:, 0].tolist()
    return [_LEAST_PENALTY * (_GREATEST_PENALTY / _LEAST_PENALTY) ** exponent for exponent in exponents]


def _train(mixture: "_Mixture", evaluator: IntegerEvaluator, problem: SearchProblem, penalty: float, seed: int) -> None:
    task = evaluator.task
    size = _BATCH_SIZE if task.mini_batches is None else task.mini_batches.batch_size
    schedule = Schedule(
        epochs=-(-_STEPS // task.steps_of_epoch(size, every=True)),
        learning_rate=_LEARNING_RATE,
        weight_decay=0.0,
        batch_size=size,
    )
    generator = torch.Generator().manual_seed(seed)

    def loss(inputs: GraphInputs) -> Tensor:
        taught = distilled_loss(mixture(inputs), inputs, evaluator.teacher, label_weight=1.0)
        return taught + penalty * mixture.expected_bits() / MAX_BITS

    with deterministic(task.device), seeded(seed, task.device):
        nn.init.normal_(mixture.logits, std=0.1)
        mixture.to(task.device)
        optimize(
            mixture,
            schedule,
            lambda: task.training_batches(generator, schedule.batch_size, every=True),
            loss,
            None,
            lambda done, total: _evaluate(problem, mixture),
        )


def _evaluate(problem: SearchProblem, mixture: "_Mixture") -> None:
    problem.evaluator.attempt(problem.limits.completed([mixture.winners()]).tolist())


class _Mixture(nn.Module):
    """A float network whose components are mixtures of their quantized values; only the mixtures' logits learn."""

    quantizers: tuple[LearnedQuantizer, ...] = ()
    _shares: Tensor
    _excluded: Tensor

    def __init__(self, model: QuantizableModel, limits: Limits, *, whole_graph: bool) -> None:
        super().__init__()
        self._model = [model]  # in a list, so that its parameters are not those of the mixture
        self._bit_widths = limits.bit_widths
        self.logits = nn.Parameter(torch.zeros(len(model.quantizers), len(limits.bit_widths)))
        excluded = [[bits not in widths for bits in limits.bit_widths] for widths in limits.allowed]
        self.register_buffer("_excluded", torch.tensor(excluded), persistent=False)
        macs = torch.tensor([float(max(component.macs, 1)) for component in model.components])
        self.register_buffer("_shares", macs / macs.sum(), persistent=False)
        self._constant = {"weight", "adjacency", "input"} if whole_graph else {"weight"}
        self._kept: dict[int, list[Tensor]] = {}

    def forward(self, inputs: GraphInputs) -> Tensor:
        (model,) = self._model
        model.eval()
        for norm in batch_norms(model):
            norm.train()
        with self._relaxing(model), model.allocated(None):
            logits: Tensor = model(inputs.x, inputs.graph)
        return logits[: inputs.index.numel()]

    def expected_bits(self) -> Tensor:
        """Return the mean bit-width, by shares of multiply-accumulates."""
        bits = torch.tensor(self._bit_widths, dtype=self.logits.dtype, device=self.logits.device)
        return (self._shares[:, None] * self._open.softmax(dim=1) * bits).sum()

    def winners(self) -> list[int]:
        """Return the allocation of the most likely bit-widths."""
        return [self._bit_widths[int(index)] for index in self._open.argmax(dim=1)]

    @property
    def _open(self) -> Tensor:
        """The logits, without those of bit-widths that a component may not have."""
        return self.logits.masked_fill(self._excluded, -torch.inf)

    @contextmanager
    def _relaxing(self, model: QuantizableModel) -> Iterator[None]:
        learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
        for parameter in learned:
            parameter.requires_grad_(False)
        hooks = [
            quantizer.register_forward_hook(partial(self._mix, index=index))
            for index, quantizer in enumerate(model.quantizers)
        ]
        try:
            yield
        finally:
            for parameter in learned:
                parameter.requires_grad_(True)
            for hook in hooks:
                hook.remove()

    def _mix(self, quantizer: LearnedQuantizer, inputs: Any, x: Tensor | SparseMatrix, *, index: int) -> Tensor:
        """Return the mixture of a component's quantized values: a forward hook of its quantizer."""
        x = x.to_dense()
        quantized = self._kept.get(index) or [_quantized(_at(quantizer, b), x.detach()) for b in self._bit_widths]
        if quantizer.kind in self._constant:
            self._kept[index] = quantized
        shares = self._open[index].softmax(dim=0)
        mixed = sum((s * q for s, q in zip(shares, quantized, strict=True)), shares.new_zeros(()))
        # Straight through: rounding has the gradient of the identity.
        return mixed.to(x.dtype) + (x - x.detach())


def _at(quantizer: LearnedQuantizer, bits: int) -> Quantizer:
    before, quantizer.bits = quantizer.bits, bits
    try:
        return quantizer.quantizer()
    finally:
        quantizer.bits = before


def _quantized(quantizer: Quantizer, x: Tensor) -> Tensor:
    by_row = quantizer.row_exponent is not None
    magnitude = nonzero(row_magnitude(x)) if by_row else x.new_ones((), dtype=torch.float64)
    integers = quantizer.integers(x.double() / magnitude).double() - quantizer.zero_point
    return (integers * quantizer.scale * magnitude).to(x.dtype)


def _network(evaluator: Evaluator) -> IntegerEvaluator:
    inner = evaluator
    while isinstance(inner, Ledger | RayEvaluator):
        inner = inner.evaluator
    if not isinstance(inner, IntegerEvaluator):
        raise InputError(
            "the relaxed search differentiates through a network: it needs an evaluator that holds one, such as "
            "mixq_rl.SupernetEvaluator"
        )
    return inner
