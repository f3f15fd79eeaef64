"""Policy network that scores each bit-width by the state of the episode and the features of the bit-width."""

import math
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from torch import Tensor, nn

from mixq_rl.envs import Episodes
from mixq_rl.nn import GRAPH_STATISTICS, KINDS, PROBE_BITS
from mixq_rl.quantization import MAX_BITS

__all__ = ["BIT_FEATURES", "AllocationPolicy", "action_space", "actions_of", "bits_of", "masks_of", "policy_masks"]

BIT_FEATURES = ("log_place", "place", "log_bits", "sqnr", "bitops_saved", "log_bitops")
"""Names of the features of a bit-width. The last three need the observation ``LayerStatistics``.

``place`` and ``log_place`` are the position of the bit-width among those on offer, linear and in log2, from 0 for the
lowest to 1 for the highest. ``log_bits`` is the logarithm of the bit-width itself: 0 for 1 bit, 1 for 8 bits.
"""

_FIRST_SCORES = 0.01
# Where few components make up most of the bit operations, the logarithm tells apart the costs of the others.
_SMALL_SHARE = 1000.0
_NEVER = -1e8
_PLACES = 2
_OFFER = ("lowest_bits", "highest_bits")
# Features with only one or two values in a few training graphs: their weights begin at 0, so that values not seen in
# training have no effect.
_SILENT = (*(f"kind_{kind}" for kind in KINDS), *GRAPH_STATISTICS, "components", "target_reduction", "tolerated_drop")


def action_space() -> gymnasium.spaces.Discrete:
    """Return the action space of the policy: all bit-widths 1...8. A mask allows those on offer."""
    return gymnasium.spaces.Discrete(MAX_BITS)


def bits_of(actions: ArrayLike) -> NDArray[np.int64]:
    """Return the bit-widths that the policy's actions stand for."""
    return np.asarray(actions, dtype=np.int64) + 1


def actions_of(bits: ArrayLike) -> NDArray[np.int64]:
    """Return the policy's actions that stand for bit-widths."""
    return np.asarray(bits, dtype=np.int64) - 1


def masks_of(allowed: NDArray[np.bool_], bit_widths: Sequence[int]) -> NDArray[np.bool_]:
    """Return which of the policy's actions are allowed, bool ``[..., 8]``.

    Args:
        allowed: which of the bit-widths on offer are allowed, bool ``[..., bit-widths]``.
        bit_widths: bit-widths on offer.
    """
    masks = np.zeros((*allowed.shape[:-1], MAX_BITS), dtype=np.bool_)
    masks[..., actions_of(bit_widths)] = allowed
    return masks


def policy_masks(episodes: Episodes) -> NDArray[np.bool_]:
    """Return which of the policy's actions are allowed in each episode now, bool ``[episodes, 8]``."""
    return masks_of(episodes.masks(), episodes.rules.evaluator.bit_widths)


class AllocationPolicy(MaskableActorCriticPolicy):
    """MaskablePPO's policy with one network that scores any bit-width for any component of any graph.

    It works for any number of components and any set of bit-widths.

    Args:
        features: names of the observed features, by which the networks find those they use; None: unknown.
        others: arguments of sb3-contrib's policy.
    """

    mlp_extractor: "_Networks"  # type: ignore[assignment]  # the base's own class has networks of another form

    def __init__(self, *arguments: Any, features: Sequence[str] | None = None, **options: Any) -> None:
        self._names = None if features is None else tuple(features)
        super().__init__(*arguments, **options)

    def offer(self, bit_widths: Sequence[int]) -> None:
        """Score only these bit-widths from now on, which saves time. A new policy scores all."""
        self.mlp_extractor.scorer.offer(bit_widths)

    def _build_mlp_extractor(self) -> None:
        assert isinstance(self.net_arch, list)
        self.mlp_extractor = _Networks(self.features_dim, self.net_arch, self._names)

    def _build(self, lr_schedule: Any) -> None:
        super()._build(lr_schedule)
        # The scores are the logits: there is no further layer.
        self.action_net = nn.Identity()
        self.mlp_extractor.scorer.begin()
        options = {**self.optimizer_kwargs, "lr": lr_schedule(1)}
        self.optimizer = self.optimizer_class(self.parameters(), **options)


class _Networks(nn.Module):
    """The scorer and the critic, in place of the MLP extractor of Stable-Baselines3."""

    def __init__(self, observed: int, widths: Sequence[int], names: tuple[str, ...] | None) -> None:
        super().__init__()
        self.scorer = _Scorer(observed, widths, names)
        self.critic = _layers(observed, widths)
        self.latent_dim_pi = MAX_BITS
        self.latent_dim_vf = widths[-1]

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        return self.forward_actor(observation), self.forward_critic(observation)

    def forward_actor(self, observation: Tensor) -> Tensor:
        scores: Tensor = self.scorer(observation)
        return scores

    def forward_critic(self, observation: Tensor) -> Tensor:
        latent: Tensor = self.critic(observation)
        return latent


class _Scorer(nn.Module):
    """Scores each bit-width by itself: ``[episodes, observed]`` to ``[episodes, 8]``."""

    bits: Tensor
    interpolation: Tensor
    heard: Tensor

    def __init__(self, observed: int, widths: Sequence[int], names: tuple[str, ...] | None) -> None:
        super().__init__()
        self._names = names
        # The lowest and highest bit-width on offer reach the network only through the features of each bit-width.
        heard = torch.tensor([name not in _OFFER for name in names or ("",) * observed]).float()
        self.register_buffer("heard", heard, persistent=False)
        for name in ("bits", "interpolation"):
            self.register_buffer(name, torch.empty(0), persistent=False)
        self.offer(range(1, MAX_BITS + 1))
        if names is not None:
            self._sqnr = [names.index(f"sqnr_{bits}") for bits in PROBE_BITS]
            self._share, self._low, self._high = (names.index(name) for name in ("operations_share", *_OFFER))
        known = len(BIT_FEATURES) if names is not None else _PLACES
        self.state = nn.Linear(observed, widths[0])
        self.option = nn.Linear(known, widths[0], bias=False)
        self.hidden = _layers(widths[0], widths[1:])
        self.score = nn.Linear(widths[-1], 1)

    def offer(self, bit_widths: Sequence[int]) -> None:
        bits = tuple(bit_widths)
        self.bits, self.interpolation = torch.tensor(bits), _interpolation(bits)

    def begin(self) -> None:
        """Initialise the weights: nearly equal scores for all bit-widths, and no effect of the silent features."""
        with torch.no_grad():
            nn.init.orthogonal_(self.score.weight, _FIRST_SCORES)
            silent = [place for place, name in enumerate(self._names or ()) if name in _SILENT]
            self.state.weight[:, silent] = 0.0

    def forward(self, observation: Tensor) -> Tensor:
        first = self.state(observation * self.heard)[:, None, :] + self.option(self._features(observation))
        scores = self.score(self.hidden(torch.tanh(first)))[..., 0]
        return scores.new_full((len(observation), MAX_BITS), _NEVER).index_copy(1, self.bits - 1, scores)

    def _features(self, observation: Tensor) -> Tensor:
        """Return the features of the bit-widths, ``[episodes or 1, bit-widths, features]``."""
        bits = self.bits.to(observation)
        if self._names is None:
            return torch.stack(_places(bits, bits.new_tensor(1.0), bits.new_tensor(MAX_BITS)), dim=1)[None]
        low, high = (observation[:, place, None] * MAX_BITS for place in (self._low, self._high))
        log_place, place = _places(bits, low, high)
        sqnr = observation[:, self._sqnr] @ self.interpolation
        share = observation[:, self._share, None]
        spent = torch.log1p(_SMALL_SHARE * share * log_place) / math.log1p(_SMALL_SHARE)
        log_bits = (bits.log2() / math.log2(MAX_BITS)).expand_as(place)
        return torch.stack([log_place, place, log_bits, sqnr, share * (1 - log_place), spent], dim=2)


def _places(bits: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Return the positions of bit-widths between the lowest and the highest, in log2 and linear, each in [0, 1]."""
    low, high = low.clamp(1, MAX_BITS), high.clamp(1, MAX_BITS)
    return _place(bits.log2(), low.log2(), high.log2()), _place(bits, low, high)


def _place(value: Tensor, low: Tensor, high: Tensor) -> Tensor:
    return ((value - low) / (high - low).clamp(min=1e-6)).clamp(0, 1)


def _layers(inputs: int, widths: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in widths:
        layers += [nn.Linear(inputs, width), nn.Tanh()]
        inputs = width
    return nn.Sequential(*layers)


def _interpolation(bits: Sequence[int]) -> Tensor:
    """Return the matrix from the SQNR at the probe bit-widths to the SQNR at ``bits``, ``[probes, bit-widths]``.

    The interpolation is linear in bits, because the SQNR grows by about 6 dB with each bit.
    """
    rows = [np.interp(bits, PROBE_BITS, unit) for unit in np.eye(len(PROBE_BITS))]
    return torch.tensor(np.array(rows), dtype=torch.float32)
