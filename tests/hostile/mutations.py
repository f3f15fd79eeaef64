"""Mutations of files: of bytes, of JSON documents, and of artifacts with a checksum that is right again."""

import copy
import json
import math
import os
from pathlib import Path
from random import Random
from typing import Any

from mixq_rl.storage import artifacts

__all__ = ["ATTACKS", "mutated_bytes", "mutated_json", "signed"]

ATTACKS = int(os.environ.get("MIXQ_RL_ATTACKS", "40"))
"""Number of attacks on each kind of file."""

_STRANGE: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 10**30, -(10**30), 0.5, 1e308, math.inf, -math.inf, math.nan, "", "x", "8", [], {}),
    *("\x1b[31m", "../../..", "/etc/passwd", "a" * 10_000, "\ud800", "<script>", [[]], [None], {"type": "Quantizer"}),
    *({"tensor": "0"}, {"items": {}}, [0] * 100, 2**31, 2**63, -(2**63), 10**400),
)


def mutated_bytes(content: bytes, random: Random) -> bytes:
    """Return bytes with a part flipped, cut, repeated, moved, overwritten or inserted."""
    data = bytearray(content)
    for _ in range(random.choice((1, 1, 2, 8))):
        size = len(data)
        start = random.randrange(size + 1)
        length = min(size - start, random.choice((1, 1, 2, 4, 8, 64, 4096)))
        kind = random.randrange(7)
        if kind == 0 and length:
            data[start] ^= 1 << random.randrange(8)
        elif kind == 1:
            del data[start:]
        elif kind == 2:
            del data[start : start + length]
        elif kind == 3:
            data[start:start] = data[start : start + length]
        elif kind == 4:
            data[start : start + length] = random.randbytes(length)
        elif kind == 5:
            data[start : start + length] = random.choice((b"\0", b"\xff")) * length
        else:
            data[start:start] = random.choice((b"[" * 100_000, b"\0" * 64, b"9" * 400, b"{", b'"', b"\n"))
    return bytes(data)


def mutated_json(value: Any, random: Random) -> Any:
    """Return JSON data with an entry replaced, removed, renamed, repeated, or exchanged for another entry."""
    changed = copy.deepcopy(value)
    for _ in range(random.choice((1, 1, 2, 4))):
        groups = _groups(changed)
        group = random.choice(groups)
        if not group:
            continue
        key = random.choice(list(group) if isinstance(group, dict) else range(len(group)))
        kind = random.randrange(6)
        if kind <= 1:
            group[key] = copy.deepcopy(random.choice(_STRANGE))
        elif kind == 2:
            del group[key]
        elif kind == 3:
            other = random.choice([entry for entry in groups if entry])
            chosen = random.choice(list(other.values()) if isinstance(other, dict) else other)
            group[key] = copy.deepcopy(chosen)
        elif kind == 4 and isinstance(group, dict):
            group[random.choice((f"{key}x", "", "type", "format", "__class__"))] = group.pop(key)
        elif isinstance(group, list):
            group.extend(copy.deepcopy(group) * random.choice((1, 3)))
        if kind == 5 and isinstance(group[key] if key in _keys(group) else None, int | float):
            group[key] = group[key] * random.choice((-1, 2, 1e6, 1e300))
    return changed


def signed(folder: Path, kind: str) -> None:
    """Give an artifact the checksum of its present files, as an attacker does."""
    document = json.loads((folder / f"{kind}.json").read_text())
    if isinstance(document, dict):
        document.pop("sha256", None)
        content = (folder / f"{kind}.safetensors").read_bytes()
        try:
            document["sha256"] = artifacts._checksum(document, content)
        except (ValueError, UnicodeError):  # NaN, for which there is no checksum
            document["sha256"] = ""
        (folder / f"{kind}.json").write_text(json.dumps(document))


def _groups(value: Any) -> list[Any]:
    found, level = [], [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        found += level
        level = [item for group in level for item in (group.values() if isinstance(group, dict) else group)]
    return found


def _keys(group: Any) -> Any:
    return group if isinstance(group, dict) else range(len(group))
