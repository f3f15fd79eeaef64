"""Content hashes."""

import hashlib
import json
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

__all__ = ["content_hash"]


def content_hash(description: Sequence[object], tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of plain values, and of the names, dtypes, shapes and entries of tensors, in their order."""
    digest = hashlib.sha256(json.dumps(description).encode())
    for name, tensor in tensors.items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        if tensor.numel():  # torch cannot view an empty tensor as bytes
            digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
