"""Ctrl-C while the command ``mixq-rl`` imports its packages, which takes seconds."""

import contextlib
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

__all__ = ["imported", "importing"]

_COMMAND = "mixq-rl"
_INTERRUPTED = 130


def importing() -> None:
    """Let Ctrl-C end the process with one line until :func:`imported` is called, if the process is the command.

    The script of the command imports this package before it calls a function that could handle the exception. A handler
    of the signal also works inside imports of other packages, some of which catch exceptions of any kind.
    """
    is_command = bool(sys.argv) and Path(sys.argv[0]).stem == _COMMAND
    in_main = threading.current_thread() is threading.main_thread()
    if is_command and in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def imported() -> None:
    """Let Ctrl-C raise KeyboardInterrupt again."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(signum: int, frame: FrameType | None) -> None:
    with contextlib.suppress(OSError):  # stderr may be closed
        os.write(2, f"{_COMMAND}: interrupted\n".encode())
    os._exit(_INTERRUPTED)  # nothing has begun that would have to be ended
