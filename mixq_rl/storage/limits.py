"""Limits on what is read from files, so that a small file cannot fill the memory."""

import os
from dataclasses import dataclass

from mixq_rl.errors import ArtifactError, InputError

__all__ = ["ARRAYS", "DOCUMENT", "FILE", "NESTING", "STEPS", "Limit"]


@dataclass(frozen=True)
class Limit:
    """A limit that an environment variable replaces.

    Attributes:
        variable: name of the environment variable.
        default: greatest value that is read if the variable is not set.
        unit: unit of the values, for messages; may be empty.
    """

    variable: str
    default: int
    unit: str = ""

    @property
    def value(self) -> int:
        """The limit in force.

        Raises:
            InputError: if the environment variable is not a whole number of at least 1.
        """
        text = os.environ.get(self.variable)
        if text is None:
            return self.default
        try:
            value = int(text)
        except ValueError:
            value = 0
        if value < 1:
            raise InputError(f"{self.variable} is {text!r}: it must be a whole number, such as {self.default}")
        return value

    def check(self, found: int, what: str) -> None:
        """Check a value against the limit.

        Args:
            found: the value.
            what: what has the value, for the message: the path of a file.

        Raises:
            ArtifactError: if the value exceeds the limit; the message names the environment variable.
        """
        if found > self.value:
            raise ArtifactError(f"{what} has {self.excess(found)}")

    def excess(self, found: int) -> str:
        """Return the part of a message about a value above the limit that names the environment variable."""
        unit = f" {self.unit}" if self.unit else ""
        return f"{found:,}{unit} where at most {self.value:,} are read: {self.variable} raises this limit"


DOCUMENT = Limit("MIXQ_RL_MAX_DOCUMENT_BYTES", 2**24, "bytes")
"""Size of a JSON document."""

NESTING = Limit("MIXQ_RL_MAX_NESTING", 64, "levels of nesting")
"""Depth of a JSON document."""

FILE = Limit("MIXQ_RL_MAX_ARTIFACT_BYTES", 2**31, "bytes")
"""Size of the tensors' file of an artifact."""

ARRAYS = Limit("MIXQ_RL_MAX_DATA_BYTES", 2**29, "bytes")
"""Size in memory of the arrays of a small file with data. A file may always have twice its own size in memory."""

STEPS = Limit("MIXQ_RL_MAX_STEPS", 2048, "steps")
"""Number of steps of an integer model."""
