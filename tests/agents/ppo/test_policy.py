import itertools
import math

import gymnasium
import numpy as np
import pytest
import torch

from mixq_rl.agents.ppo.policy import AllocationPolicy, action_space, bits_of, masks_of
from mixq_rl.envs import FEATURES, LayerStatistics
from mixq_rl.nn import PROBE_BITS


def make_policy(seed: int = 0) -> AllocationPolicy:
    torch.manual_seed(seed)
    space = gymnasium.spaces.Box(LayerStatistics.low, LayerStatistics.high)
    return AllocationPolicy(space, action_space(), lambda _: 1e-3, net_arch=[16, 16], features=FEATURES)


def observations(**values: float) -> torch.Tensor:
    """Ten random ones in bounds, some features given."""
    drawn = torch.rand(10, len(FEATURES), generator=torch.Generator().manual_seed(0))
    for name, value in values.items():
        drawn[:, FEATURES.index(name)] = value
    return drawn


def test_actions_are_bit_widths() -> None:
    assert bits_of(np.arange(action_space().n)).tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    allowed = np.array([[True, True, False], [True, False, False]])
    assert [np.flatnonzero(row).tolist() for row in masks_of(allowed, (2, 4, 8))] == [[1, 3], [1]]


def test_only_what_is_on_offer_is_chosen() -> None:
    policy = make_policy()
    masks = masks_of(np.ones((10, 2), dtype=np.bool_), (3, 6))
    for deterministic in (True, False):
        actions, _ = policy.predict(observations().numpy(), action_masks=masks, deterministic=deterministic)
        assert set(bits_of(actions)) <= {3, 6}


def test_a_bit_width_is_scored_by_what_it_would_do() -> None:
    scorer = make_policy().mlp_extractor.scorer
    for name in (f"sqnr_{bits}" for bits in PROBE_BITS):
        low, high = (scorer._features(observations(**{name: value})) for value in (0.0, 1.0))
        change = (high - low)[0]
        assert change[int(name.removeprefix("sqnr_")) - 1, 3] == pytest.approx(1.0)
        assert (change[:, [0, 1, 2, 4, 5]] == 0).all()
    between = scorer._features(observations(sqnr_2=0.2, sqnr_4=0.6))[0]
    assert between[2, 3] == pytest.approx(0.4)
    features = scorer._features(observations(operations_share=0.5, lowest_bits=0.25, highest_bits=1.0))[0]
    logarithms = [0, 0, math.log2(3) / 2 - 0.5, 0.5, math.log2(5) / 2 - 0.5, math.log2(6) / 2 - 0.5]
    assert features[:6, 0].tolist() == pytest.approx(logarithms)
    assert features[:, 1].tolist() == pytest.approx([0, 0, 1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1])
    assert features[:, 2].tolist() == pytest.approx([math.log2(bits) / 3 for bits in range(1, 9)])
    assert features[:, 4].tolist() == pytest.approx((0.5 * (1 - features[:, 0])).tolist())
    assert (features[1:, 5].diff() > 0).all()


def test_the_lowest_of_any_offer_is_scored_alike_but_for_its_signal_and_its_bits() -> None:
    policy = make_policy()
    with torch.no_grad():
        policy.mlp_extractor.scorer.option.weight[:, 2] = 0.0  # log_bits
    seen = observations(sqnr_1=0.3, sqnr_2=0.3, sqnr_4=0.3, sqnr_8=0.3)
    scores = []
    for low, high in ((1, 8), (2, 8), (3, 6)):
        seen[:, FEATURES.index("lowest_bits")], seen[:, FEATURES.index("highest_bits")] = low / 8, high / 8
        policy.offer((low, high))
        scores.append(policy.mlp_extractor.scorer(seen)[:, [low - 1, high - 1]])
        assert (policy.mlp_extractor.scorer(seen) < -1e6).sum() == 10 * 6
    assert torch.allclose(scores[0], scores[1], atol=1e-6)
    assert torch.allclose(scores[0], scores[2], atol=1e-6)


def test_one_bit_width_alone_is_scored() -> None:
    policy = make_policy()
    policy.offer((4,))
    assert bool(policy.mlp_extractor.scorer(observations(lowest_bits=0.5, highest_bits=0.5)).isfinite().all())


def test_kinds_that_training_has_not_shown_have_no_say() -> None:
    policy = make_policy()
    other = policy.mlp_extractor.scorer(observations(kind_attention=0.0))
    assert torch.equal(policy.mlp_extractor.scorer(observations(kind_attention=1.0)), other)
    assert not torch.equal(policy.mlp_extractor.scorer(observations(preference=1.0)), other)


def test_at_first_all_bit_widths_are_nearly_as_likely() -> None:
    probabilities = make_policy().mlp_extractor.scorer(observations()).softmax(dim=1)
    assert bool(((probabilities - 1 / 8).abs() < 0.01).all())


def test_gradients_reach_every_parameter() -> None:
    policy = make_policy()
    values, log_probability, entropy = policy.evaluate_actions(observations(), torch.arange(10) % 8)
    assert entropy is not None
    (values.sum() + log_probability.sum() + entropy.sum()).backward()
    named = dict(policy.named_parameters())
    assert all(parameter.grad is not None and bool(parameter.grad.any()) for parameter in named.values())
    assert {id(p) for group in policy.optimizer.param_groups for p in group["params"]} == {
        id(p) for p in named.values()
    }


def test_another_seed_is_another_policy() -> None:
    first, second = (make_policy(seed).state_dict() for seed in (0, 1))
    pairs = itertools.zip_longest(first.values(), second.values())
    assert any(not torch.equal(one, other) for one, other in pairs)
