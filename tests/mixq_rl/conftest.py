import random

import pytest
import torch


@pytest.fixture
def seeded() -> None:
    """Weights and allocations that are drawn are the same each time."""
    torch.manual_seed(0)
    random.seed(0)
