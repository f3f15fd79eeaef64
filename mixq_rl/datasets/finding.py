"""Finding about a graph."""

from dataclasses import dataclass

__all__ = ["Finding"]


@dataclass(frozen=True)
class Finding:
    """What was found in a graph, and what it means for a quantized network.

    Attributes:
        subject: what was looked at: ``"features"``.
        found: what was found.
        meaning: what it means, and what to do; may be empty.
        matters: whether it costs accuracy or bits, or is a mistake.
    """

    subject: str
    found: str
    meaning: str = ""
    matters: bool = False

    def __str__(self) -> str:
        return f"{self.found}: {self.meaning}" if self.meaning else self.found
