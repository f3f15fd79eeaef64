import torch

from mixq_rl.agents.ppo.gaussian_process import GaussianProcess


def smooth(x: torch.Tensor) -> torch.Tensor:
    return torch.sin(3 * x[:, 0]) + 0.2 * x[:, 1]


def test_predicts_a_smooth_function_and_knows_where_it_does_not_know() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(60, 3, generator=generator, dtype=torch.float64)
    process = GaussianProcess(3)
    process.tune(x, smooth(x))
    process.fit(x, smooth(x))
    new = torch.rand(40, 3, generator=generator, dtype=torch.float64)
    mean, deviation = process.predict(new)
    error = (mean - smooth(new)).abs()
    assert float(error.mean()) < 0.02
    assert float((error < 3 * deviation + 0.01).double().mean()) > 0.9
    far, far_deviation = process.predict(new + 10)
    assert float(far_deviation.min()) > 10 * float(deviation.mean())
    assert bool(far.isfinite().all())


def test_what_was_observed_is_remembered() -> None:
    x = torch.tensor([[0.0], [0.5], [1.0]], dtype=torch.float64)
    y = torch.tensor([0.1, 0.9, 0.3], dtype=torch.float64)
    process = GaussianProcess(1)
    process.tune(x, y)
    process.fit(x, y)
    mean, deviation = process.predict(x)
    assert float((mean - y).abs().max()) < 0.1
    assert float(deviation.max()) < 0.3


def test_equal_observations_and_repeated_places_are_no_trouble() -> None:
    x = torch.zeros(5, 2, dtype=torch.float64)
    process = GaussianProcess(2)
    process.tune(x, torch.full((5,), 0.7, dtype=torch.float64))
    process.fit(x, torch.full((5,), 0.7, dtype=torch.float64))
    mean, _ = process.predict(torch.ones(1, 2, dtype=torch.float64))
    assert abs(float(mean) - 0.7) < 1e-6
