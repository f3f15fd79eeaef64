"""Surrogate of an evaluator, which predicts evaluations from earlier ones."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from mixq_rl.agents.ppo.gaussian_process import GaussianProcess
from mixq_rl.evaluation.protocol import Evaluation, Evaluator
from mixq_rl.nn import Component
from mixq_rl.quantization import MAX_BITS

__all__ = ["Surrogate"]

_MOST_TUNED = 256
_MOST_POINTS = 768
_RIDGE = 1e-6


class Surrogate:
    """Evaluator that executes nothing: it returns known evaluations and predicts the others.

    A Gaussian process over log2 bits and 2^-bits of each component predicts the accuracy; a sum over the components'
    bits predicts the costs.

    The costs are the inverses of both reductions, bytes, seconds and size. They are fitted by least squares, with a
    ridge penalty on the deviations from the components' shares of multiply-accumulates. A cost that is exactly a sum
    over n components is determined by n + 1 evaluations in general position.

    Args:
        evaluator: evaluator whose evaluations are predicted.
        seed: seed of the choice of observations, if there are more than the Gaussian process takes (768; 256 to tune).

    Attributes:
        fitted: whether the surrogate has been fitted to any evaluations.
    """

    def __init__(self, evaluator: Evaluator, seed: int = 0) -> None:
        self._evaluator = evaluator
        self._random = np.random.default_rng(seed)
        self._accuracy = GaussianProcess(2 * len(evaluator.components))
        self._tuned = 0
        self._conditioned_on = torch.arange(0)
        self._known: dict[tuple[int, ...], Evaluation] = {}
        self.fitted = False
        macs = np.array([max(component.macs, 1) for component in evaluator.components], dtype=np.float64)
        self._shares = macs / macs.sum()

    @property
    def components(self) -> tuple[Component, ...]:
        return self._evaluator.components

    @property
    def bit_widths(self) -> tuple[int, ...]:
        return tuple(self._evaluator.bit_widths)

    @property
    def reference(self) -> Evaluation:
        return self._evaluator.reference

    def fit(self, evaluations: Sequence[Evaluation]) -> None:
        """Fit the surrogate to evaluations, at least one."""
        inputs, accuracy = self._observed(evaluations)
        if len(evaluations) >= 1.25 * self._tuned:
            some = self._some(len(evaluations), _MOST_TUNED)
            self._accuracy.tune(inputs[some], accuracy[some])
            self._tuned = len(evaluations)
        self._conditioned_on = self._some(len(evaluations), _MOST_POINTS)
        self._accuracy.fit(inputs[self._conditioned_on], accuracy[self._conditioned_on])
        self.fitted = True

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the surrogate, without the evaluations."""
        return {
            "random": self._random.bit_generator.state,
            "accuracy": self._accuracy.state_dict(),
            "tuned": self._tuned,
            "conditioned_on": self._conditioned_on,
        }

    def load_state_dict(self, state: dict[str, Any], evaluations: Sequence[Evaluation]) -> None:
        """Restore the state that :meth:`state_dict` returned.

        Args:
            state: state of a surrogate of the same evaluator.
            evaluations: evaluations of the last :meth:`fit` before :meth:`state_dict`, in the same order.
        """
        self._random.bit_generator.state = state["random"]
        self._accuracy.load_state_dict(state["accuracy"])
        self._tuned, self._conditioned_on = state["tuned"], state["conditioned_on"]
        self.fitted = bool(evaluations)
        if evaluations:
            inputs, accuracy = self._observed(evaluations)
            self._accuracy.fit(inputs[self._conditioned_on], accuracy[self._conditioned_on])

    def predict(self, allocations: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean and standard deviation of the predicted accuracies, each ``[allocations]``.

        Args:
            allocations: bit-widths, ``[allocations, components]``.
        """
        mean, deviation = self._accuracy.predict(_inputs(np.asarray(allocations, dtype=np.float64)))
        return mean.numpy(), deviation.numpy()

    def evaluate(self, allocations: Sequence[Sequence[int]]) -> list[Evaluation]:
        """Return one evaluation for each allocation: the known one if there is one, otherwise a prediction."""
        predicted = self.predicted(allocations, self.predict(allocations)[0])
        return [self._known.get(evaluation.allocation, evaluation) for evaluation in predicted]

    def predicted(self, allocations: Sequence[Sequence[int]], accuracy: NDArray[np.float64]) -> list[Evaluation]:
        """Return evaluations with predicted costs and the given accuracies, ``[allocations]``."""
        reference, costs = self.reference, self._costs(np.asarray(allocations, dtype=np.float64))
        return [
            Evaluation(
                allocation=tuple(int(bits) for bits in allocation),
                accuracy=float(value),
                bitops=reference.bitops * linear,
                reduction=1 / linear,
                product_bitops=reference.product_bitops * product,
                product_reduction=1 / product,
                bytes=round(size),
                seconds=seconds,
                size=round(stored),
            )
            for allocation, value, (linear, product, size, seconds, stored) in zip(
                allocations, accuracy, costs.tolist(), strict=True
            )
        ]

    def _observed(self, evaluations: Sequence[Evaluation]) -> tuple[Tensor, Tensor]:
        """Keep the evaluations, fit the costs, and return inputs and targets of the Gaussian process."""
        self._known = {evaluation.allocation: evaluation for evaluation in evaluations}
        bits = np.array([evaluation.allocation for evaluation in evaluations], dtype=np.float64)
        costs = [[1 / e.reduction, 1 / e.product_reduction, e.bytes, e.seconds, e.size] for e in evaluations]
        self._fit_costs(bits, np.array(costs, dtype=np.float64))
        return _inputs(bits), torch.tensor([e.merit for e in evaluations], dtype=torch.float64)

    def _some(self, count: int, most: int) -> Tensor:
        if count <= most:
            return torch.arange(count)
        return torch.from_numpy(np.sort(self._random.choice(count, most, replace=False)))

    def _fit_costs(self, bits: NDArray[np.float64], costs: NDArray[np.float64]) -> None:
        deviations = np.concatenate([bits * self._shares, np.zeros((len(bits), 2))], axis=1)
        deviations[:, -2], deviations[:, -1] = bits @ self._shares, 1.0
        penalty = np.full(deviations.shape[1], _RIDGE)
        penalty[-2:] = 1e-3 * _RIDGE
        left = deviations.T @ deviations + np.diag(penalty)
        self._coefficients = np.linalg.solve(left, deviations.T @ costs)
        self._least_costs = costs.min(axis=0) / MAX_BITS

    def _costs(self, bits: NDArray[np.float64]) -> NDArray[np.float64]:
        terms = np.concatenate([bits * self._shares, (bits @ self._shares)[:, None], np.ones((len(bits), 1))], axis=1)
        return np.maximum(terms @ self._coefficients, self._least_costs)


def _inputs(bits: NDArray[np.float64]) -> Tensor:
    """Return the inputs of the Gaussian process, ``[allocations, 2 · components]``: scaled log2 bits and 2^-bits."""
    return torch.from_numpy(np.concatenate([np.log2(bits) / np.log2(MAX_BITS), 4 * 2.0**-bits], axis=1))
