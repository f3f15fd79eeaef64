"""Command ``mixq-rl``, with a module for each of its commands.

Commands that need the extra ``rl`` are imported only if it is installed. ``predict``, ``export``, ``runs``, ``report``
and ``doctor`` do not need it.
"""

from mixq_rl.agents.cli.application import app, main

__all__ = ["app", "main"]
