"""What ``mixq-rl doctor`` says of one thing."""

from dataclasses import dataclass

__all__ = ["Finding"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: what it is.
        found: what was found.
        remedy: what to do about it; empty: nothing is missing.
    """

    subject: str
    found: str
    remedy: str = ""
