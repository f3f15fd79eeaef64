"""Source files of a user's model: the file itself, and modules beside it that it imports."""

import ast
import hashlib
from collections.abc import Iterator
from pathlib import Path

from mixq_rl.errors import ArtifactError, InputError
from mixq_rl.storage.limits import DOCUMENT
from mixq_rl.storage.reading import read_regular

__all__ = ["read_source", "source_digest"]


def read_source(path: Path) -> bytes:
    """Return the content of a Python file.

    Raises:
        InputError: if the file does not exist, is no regular file, or is too large.
    """
    try:
        return read_regular(path, DOCUMENT, follow=True)
    except ArtifactError as error:
        raise InputError(f"model file {error}") from error
    except (OSError, ValueError) as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read: {error}"
        raise InputError(f"model file {str(path)!r} {reason}") from error


def source_digest(path: Path) -> str:
    """Return a SHA-256 of a Python file and of all modules in its folder that it imports, directly or not.

    Nothing is executed. Imports are found in the text; those of modules elsewhere are not followed.

    Raises:
        InputError: as in :func:`read_source`.
    """
    folder = path.resolve().parent
    contents = {"": read_source(path)}
    waiting = [(folder, contents[""])]
    while waiting:
        for found in _beside(folder, *waiting.pop()):
            name = found.relative_to(folder).as_posix()
            if name not in contents:
                contents[name] = read_source(found)
                waiting.append((found.parent, contents[name]))
    digest = hashlib.sha256()
    for name in sorted(contents):  # the file's own name is no part of it
        digest.update(f"{name}\0{len(contents[name])}\0".encode())
        digest.update(contents[name])
    return digest.hexdigest()


def _beside(folder: Path, package: Path, source: bytes) -> Iterator[Path]:
    """Yield the files in a folder that a source text imports."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the import will say what is wrong
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _modules(folder, alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            base = folder if node.level == 0 else package.joinpath(*[".."] * (node.level - 1)).resolve()
            if base.is_relative_to(folder):
                parts = node.module.split(".") if node.module else []
                for alias in node.names:
                    yield from _modules(base, [*parts, alias.name])


def _modules(base: Path, parts: list[str]) -> Iterator[Path]:
    """Yield the files of a module and of the packages that it is in; a last part that is no module is left out."""
    for part in parts:
        if (base / f"{part}.py").is_file():
            yield base / f"{part}.py"
        base = base / part
        if (base / "__init__.py").is_file():
            yield base / "__init__.py"
