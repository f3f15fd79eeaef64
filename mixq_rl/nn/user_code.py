"""Execution of a Python file of the user, with errors in one line that name the file and the line."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Self

from mixq_rl.datasets.messages import in_one_line
from mixq_rl.errors import InputError
from mixq_rl.printable import printable

__all__ = ["UserCode"]


class UserCode:
    """A Python file of the user, executed inside a ``with`` block.

    Inside the block the folder of the file is the first in which modules are found, as for ``python FILE``, and what
    the code prints goes to standard error. At the end of the block the modules of that folder are forgotten, so that
    files in two folders may each have a module of one name.

    Args:
        path: path of the file, which may be a symbolic link.
        source: content of the file.
    """

    def __init__(self, path: Path, source: bytes) -> None:
        self.path = path
        self._folder = path.resolve().parent
        self._source = source
        self._name = f"_mixq_rl_user_code_{id(self):x}"
        self._known: frozenset[str] = frozenset()
        self._redirected = ExitStack()

    def __enter__(self) -> Self:
        self._known = frozenset(sys.modules)
        self._redirected.enter_context(redirect_stdout(sys.stderr))
        sys.path.insert(0, str(self._folder))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if str(self._folder) in sys.path:
            sys.path.remove(str(self._folder))
        self._redirected.close()
        own = [name for name, module in sys.modules.items() if self._is_own(name, getattr(module, "__file__", None))]
        for name in own:
            del sys.modules[name]

    def execute(self) -> ModuleType:
        """Execute the file as a module, and return the module. Its ``__name__`` is not ``"__main__"``.

        Raises:
            InputError: for an exception in the file, or a call of ``sys.exit``.
        """
        module = ModuleType(self._name)
        module.__file__, module.__package__ = str(self.path), ""  # a file is in no package
        sys.modules[self._name] = module  # dataclasses and PyTorch Geometric look modules up
        with self.blamed():
            exec(compile(self._source, str(self.path), "exec"), module.__dict__)  # noqa: S102  the user's own code
        return module

    @contextmanager
    def blamed(self) -> Iterator[None]:
        """Turn an exception of the user's code inside the block into an error of one line.

        Raises:
            InputError: with the place in the user's files, the kind of the exception and its message.
        """
        try:
            yield
        except (Exception, SystemExit) as error:
            raise InputError(f"{self._place(error)}: {_reason(error)}") from error

    def _place(self, error: BaseException) -> str:
        """Return the last line of the user's files that took part in an error."""
        place = (str(self.path), 0)
        if isinstance(error, SyntaxError) and error.filename:
            place = (error.filename, error.lineno or 0)
        else:
            traceback = error.__traceback__
            while traceback is not None:
                frame = traceback.tb_frame
                if self._is_own(frame.f_globals.get("__name__"), frame.f_code.co_filename):
                    place = (frame.f_code.co_filename, traceback.tb_lineno)
                traceback = traceback.tb_next
        name, line = place
        return f"{printable(name)}, line {line}" if line else printable(name)

    def _is_own(self, name: object, file: object) -> bool:
        """Return whether a module is the file, or one beside it that was not imported before."""
        if name == self._name:
            return True
        if not isinstance(name, str) or not isinstance(file, str):
            return False
        top = name.split(".")[0]
        if top in self._known or not Path(file).is_absolute():
            return False
        # The folder may hold a virtual environment, whose modules are not the user's.
        return Path(file) == self._folder / f"{top}.py" or Path(file).is_relative_to(self._folder / top)


def _reason(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return "the file ends the program (sys.exit): put what is not the model below if __name__ == '__main__':"
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {in_one_line(error.msg)}"
    text = " ".join(str(error).split())
    if isinstance(error, ImportError) and "relative import" in text:
        text += ": modules beside the file are imported by name, from layers import X"
    return f"{type(error).__name__}: {in_one_line(text)}" if text else type(error).__name__
