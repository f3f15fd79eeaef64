"""Result type of the checks of ``mixq-rl doctor``."""

from dataclasses import dataclass

__all__ = ["Finding"]


@dataclass(frozen=True)
class Finding:
    """Result of one check.

    Attributes:
        subject: what was checked.
        found: what was found.
        remedy: what the user can do; empty if nothing is missing.
    """

    subject: str
    found: str
    remedy: str = ""
