"""Gaussian process regression."""

import math
from typing import Any

import torch
from torch import Tensor

__all__ = ["GaussianProcess"]

_JITTER = 1e-5
_BOUND = 6.0
_FIRST_STEPS, _LATER_STEPS = 40, 12
_START_LOG_NOISE = -3.0


class GaussianProcess:
    """A Gaussian process with a Matérn 5/2 kernel, one length scale for each dimension.

    Source: Rasmussen and Williams, "Gaussian Processes for Machine Learning" (2006), chapters 2 and 5. The logarithms
    of length scales, variance and noise maximise the marginal likelihood times broad normal priors (L-BFGS). Each
    maximisation starts from the hyperparameters of the previous one.

    Args:
        dimensions: number of dimensions of the inputs.
    """

    def __init__(self, dimensions: int) -> None:
        self._log = torch.zeros(dimensions + 2, dtype=torch.float64)  # inverse length scales, variance, noise
        self._log[-1] = _START_LOG_NOISE
        self._steps = _FIRST_STEPS
        self._x = torch.zeros(0, dimensions, dtype=torch.float64)

    def tune(self, x: Tensor, y: Tensor) -> None:
        """Choose the hyperparameters for observations.

        Args:
            x: inputs, float64 ``[points, dimensions]``.
            y: observed values, float64 ``[points]``.
        """
        targets = _standardized(y)[0]
        parameters = self._log.clone().requires_grad_()
        optimizer = torch.optim.LBFGS([parameters], max_iter=self._steps, line_search_fn="strong_wolfe")

        def objective() -> Tensor:
            optimizer.zero_grad()
            log = parameters.clamp(-_BOUND, _BOUND)  # a line search may stray far
            factor = _factor(_kernel(x, x, log), log)
            weighted = torch.cholesky_solve(targets[:, None], factor)[:, 0]
            likelihood = 0.5 * targets @ weighted + factor.diagonal().log().sum()
            prior = (parameters[:-2] / 1.5).square().sum() + ((parameters[-1] + 4) / 2).square()
            loss: Tensor = likelihood + 0.5 * (prior + (parameters[-2] / 2).square())
            loss.backward()
            return loss

        optimizer.step(objective)
        if bool(parameters.isfinite().all()):
            self._log = parameters.detach().clamp(-_BOUND, _BOUND)
        self._steps = _LATER_STEPS

    def fit(self, x: Tensor, y: Tensor) -> None:
        """Condition on observations, given as in :meth:`tune`."""
        targets, self._mean, self._deviation = _standardized(y)
        self._x = x
        self._factor = _factor(_kernel(x, x, self._log), self._log)
        self._weights = torch.cholesky_solve(targets[:, None], self._factor)[:, 0]

    def state_dict(self) -> dict[str, Any]:
        """Return the hyperparameters. The state does not contain the observations."""
        return {"log": self._log, "steps": self._steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the hyperparameters. Call :meth:`fit` afterwards."""
        self._log, self._steps = state["log"], state["steps"]

    def predict(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation at ``x`` ``[points, dimensions]``, each float64 ``[points]``."""
        kernel = _kernel(x, self._x, self._log)
        explained = torch.linalg.solve_triangular(self._factor, kernel.T, upper=False).square().sum(0)
        variance = (self._log[-2].exp() - explained).clamp(min=1e-12)
        return self._mean + self._deviation * (kernel @ self._weights), self._deviation * variance.sqrt()


def _standardized(y: Tensor) -> tuple[Tensor, float, float]:
    mean = float(y.mean())
    deviation = max(float(y.std(unbiased=False)), 1e-9)
    return (y - mean) / deviation, mean, deviation


def _kernel(left: Tensor, right: Tensor, log: Tensor) -> Tensor:
    left, right = left * log[:-2].exp(), right * log[:-2].exp()
    squares = left.square().sum(1)[:, None] + right.square().sum(1)[None, :] - 2 * left @ right.T
    # The small number keeps the gradient finite at a distance of 0.
    distance = math.sqrt(5) * (squares.clamp(min=0) + 1e-12).sqrt()
    return log[-2].exp() * (1 + distance + distance.square() / 3) * torch.exp(-distance)


def _factor(kernel: Tensor, log: Tensor) -> Tensor:
    noise = log[-1].exp() + _JITTER * log[-2].exp()
    factor: Tensor = torch.linalg.cholesky(kernel + noise * torch.eye(len(kernel), dtype=kernel.dtype))
    return factor
