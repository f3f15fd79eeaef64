"""Files of a policy: its observation, the tasks it learned on and its weights, as data without code."""

from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeGuard

import gymnasium
import torch
from torch import Tensor

from mixq_rl.agents.ppo.policy import BIT_FEATURES, AllocationPolicy, action_space
from mixq_rl.agents.records.policy_record import PolicyRecord
from mixq_rl.envs import FEATURES, OBSERVATION_VERSION, LayerStatistics
from mixq_rl.errors import ArtifactError
from mixq_rl.storage.artifacts import load_artifact, save_artifact
from mixq_rl.storage.limits import Limit
from mixq_rl.version import __version__

__all__ = ["load_policy", "save_policy"]

_KIND = "policy"
_VERSION = 4
_MOST_WIDTH, _MOST_LAYERS = 4096, 16
_MOST_WEIGHT = 1e6
# Hundreds of times the size of a policy with the default widths.
_SIZE = Limit("MIXQ_RL_MAX_POLICY_BYTES", 2**25, "bytes")


def save_policy(policy: AllocationPolicy, path: Path, record: PolicyRecord) -> None:
    """Write ``policy.safetensors`` and ``policy.json`` into the folder ``path``."""
    assert isinstance(policy.net_arch, list)
    config = {
        "algorithm": "MaskablePPO",
        "widths": policy.net_arch,
        "observation": OBSERVATION_VERSION,
        "features": list(FEATURES),
        "bit_features": list(BIT_FEATURES),
        **asdict(record),
        "mixq_rl": __version__,
    }
    tensors = {name: tensor.contiguous() for name, tensor in policy.state_dict().items()}
    save_artifact(path, _KIND, _VERSION, config, tensors)


def load_policy(path: Path) -> tuple[AllocationPolicy, PolicyRecord]:
    """Read the policy and the record that :func:`save_policy` wrote.

    Raises:
        ArtifactError: if the policy is missing, damaged, larger than 32 MiB, of another kind or format version, or has
            other features.
    """
    config, tensors = load_artifact(path, _KIND, _VERSION, limit=_SIZE)
    if type(config.get("observation")) is not int or config["observation"] != OBSERVATION_VERSION:
        raise ArtifactError(
            f"the policy in {path} was trained on version {config.get('observation')!r} of the observation; this "
            f"version of mixq_rl gives version {OBSERVATION_VERSION}"
        )
    if config.get("features") != list(FEATURES) or config.get("bit_features") != list(BIT_FEATURES):
        raise ArtifactError(
            f"the policy in {path} was trained on other observations than this version of mixq_rl gives"
        )
    widths = config.get("widths")
    if not _is_list_of_int(widths) or len(widths) > _MOST_LAYERS or not all(0 < w <= _MOST_WIDTH for w in widths):
        raise ArtifactError(f"the policy in {path} names no valid widths of its layers")
    tasks = config.get("tasks")
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise ArtifactError(f"the policy in {path} does not say what tasks it learned on")
    _check_tensors(path, widths, tensors)
    policy = AllocationPolicy(
        gymnasium.spaces.Box(LayerStatistics.low, LayerStatistics.high),
        action_space(),
        lr_schedule=lambda _: 0.0,
        net_arch=widths,
        features=FEATURES,
    )
    try:
        policy.load_state_dict(tensors)
    except RuntimeError as error:
        raise ArtifactError(f"the policy in {path} does not fit its description: {error}") from error
    policy.set_training_mode(False)
    return policy, PolicyRecord(tuple(tasks))


def _check_tensors(path: Path, widths: list[int], tensors: dict[str, Tensor]) -> None:
    """Refuse numbers that are not valid weights, and shapes that contradict the description, before building layers."""
    for name, tensor in tensors.items():
        if tensor.dtype is not torch.float32:
            raise ArtifactError(f"the policy in {path} holds {name} as {tensor.dtype}, not as torch.float32")
        if not bool((tensor.abs() <= _MOST_WEIGHT).all()):
            raise ArtifactError(f"the policy in {path} holds numbers in {name} that are not finite, or absurdly large")
    scorer = "mlp_extractor.scorer"
    shapes = {f"{scorer}.state.weight": (widths[0], len(FEATURES))}
    shapes |= {f"{scorer}.hidden.{2 * i}.weight": (widths[i + 1], widths[i]) for i in range(len(widths) - 1)}
    for name, shape in shapes.items():
        found = tuple(tensors[name].shape) if name in tensors else None
        if found != shape:
            raise ArtifactError(
                f"the policy in {path} does not fit its description: {name} is "
                f"{'missing' if found is None else f'of shape {list(found)}'}, not of shape {list(shape)}"
            )


def _is_list_of_int(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and bool(value) and all(type(item) is int for item in value)
