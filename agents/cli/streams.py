"""Standard output and error of a command: closed, full, or a pipe whose reader has gone."""

import errno
import io
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["end_by_sigpipe", "settled_streams", "undelivered"]

_STANDARD = (0, 1, 2)


class _Sink(io.RawIOBase):
    """Raw stream that keeps the first error of a write, and drops everything from then on.

    Attributes:
        error: the first error; None: everything was written.
    """

    def __init__(self, raw: io.RawIOBase | None) -> None:
        self._raw = raw
        self.error: OSError | None = None
        if raw is None:
            self.error = OSError(errno.EBADF, "it is closed")

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._raw is not None and self._raw.isatty()

    def fileno(self) -> int:
        if self._raw is None:
            raise io.UnsupportedOperation("the stream is closed")
        return self._raw.fileno()

    def write(self, data: "ReadableBuffer") -> int | None:
        if self._raw is not None and self.error is None:
            try:
                return self._raw.write(data)
            except OSError as error:
                self.error = error
        return memoryview(data).nbytes


class _Stream(io.TextIOWrapper):
    """Text stream whose writes raise no OSError. A character that the encoding lacks is replaced."""

    def __init__(self, under: io.TextIOWrapper | None) -> None:
        if under is None:
            self.sink = _Sink(None)
            super().__init__(io.BufferedWriter(self.sink), encoding="utf-8", errors="replace")
            return
        under.flush()
        buffer: object = under.buffer
        raw = buffer.raw if isinstance(buffer, io.BufferedWriter) else buffer  # python -u has no buffer
        assert isinstance(raw, io.RawIOBase)
        self.sink = _Sink(raw)
        super().__init__(
            io.BufferedWriter(self.sink),
            encoding=under.encoding,
            errors="replace",
            line_buffering=under.line_buffering,
            write_through=under.write_through,
        )


@contextmanager
def settled_streams() -> Iterator[None]:
    """Give the block standard streams that can always be written.

    A write that fails does not end the command: the results of a run are in its folder. :func:`undelivered` returns the
    error. A descriptor that is closed is opened on the null device. Otherwise a file of the run would get its number,
    and with it what libraries print. Streams that are not those of the process, such as a test's, stay as they are.
    """
    before = sys.stdout, sys.stderr
    _occupy_descriptors()
    sys.stdout, sys.stderr = (_settled(stream) for stream in before)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, _Stream):
                stream.flush()
        sys.stdout, sys.stderr = before


def undelivered(stream: object) -> OSError | None:
    """Return the first error of a write to a stream of :func:`settled_streams`.

    For a stream that was closed from the start it is an error with the number ``EBADF``. None: all was written.
    """
    if not isinstance(stream, _Stream):
        return None
    stream.flush()
    return stream.sink.error


def end_by_sigpipe() -> int:
    """End the process by the signal SIGPIPE, as commands end whose reader has gone: a shell sees the exit code 141.

    Returns:
        The exit code of a failure, on systems without the signal.
    """
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.raise_signal(signal.SIGPIPE)
    return 1


def _settled(stream: object) -> "_Stream | object":
    if stream is None:
        return _Stream(None)
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    try:
        stream.fileno()
    except OSError:  # it is in memory
        return stream
    return _Stream(stream)


def _occupy_descriptors() -> None:
    for descriptor in _STANDARD:
        try:
            os.fstat(descriptor)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != descriptor:
                os.dup2(null, descriptor)
                os.close(null)
