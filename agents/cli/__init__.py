"""The command ``mixq-rl``: a module for each of its commands.

What needs the extra ``rl`` is imported only where that is installed: ``predict``, ``export``, ``runs``, ``report`` and
``doctor`` do without.
"""

from mixq_rl.agents.cli.application import app, main

__all__ = ["app", "main"]
