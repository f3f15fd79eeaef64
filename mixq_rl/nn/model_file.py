"""Models of a user, made by a class or function in a Python file: ``net.py:Net``."""

import difflib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from types import ModuleType
from typing import Any, Self

from torch import nn

from mixq_rl.datasets import GraphTask
from mixq_rl.errors import InputError
from mixq_rl.nn.model import QuantizableModel
from mixq_rl.nn.prepare import prepare
from mixq_rl.nn.source_files import read_source, source_digest
from mixq_rl.nn.user_code import UserCode
from mixq_rl.nn.weights import load_weights
from mixq_rl.printable import printable
from mixq_rl.randomness import seeded

__all__ = ["ModelFile", "load_model", "names_file"]

_REMEDY = "write a function make_model(task) that returns the model, and name it: {file}:make_model"


def names_file(model: str) -> bool:
    """Return whether the name of a model is a Python file with a class or function in it: ``net.py:Net``."""
    return ":" in model or model.endswith(".py")


@dataclass(frozen=True)
class ModelFile:
    """Class or function in a Python file that makes a model.

    Attributes:
        path: path of the file.
        name: name of the class or function.
    """

    path: Path
    name: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the class or function that a text such as ``"nets/net.py:Net"`` names.

        Raises:
            InputError: for a text of another form.
        """
        path, _, name = text.rpartition(":")
        if not path.endswith(".py") or not name.isidentifier():
            file = text if text.endswith(".py") else path if path.endswith(".py") else "net.py"
            raise InputError(
                f"model {text!r} names no class or function in a Python file: write it as {printable(file)}:Net"
            )
        return cls(Path(path), name)

    @property
    def label(self) -> str:
        """The file without its folder, and the name: ``net.py:Net``."""
        return f"{printable(self.path.name)}:{self.name}"

    def digest(self) -> str:
        """Return the SHA-256 of the file and of the modules beside it that it imports; nothing is executed.

        Raises:
            InputError: if a file cannot be read.
        """
        return source_digest(self.path)


def load_model(
    model: str, task: GraphTask, *, weights: str | PathLike[str] | None = None, seed: int = 0
) -> QuantizableModel:
    """Return the quantizable model that a class or function in a Python file makes. The file is executed.

    The class or function is called without arguments if it requires none. Required arguments are given by their names:
    ``task``; ``in_channels`` or ``num_features``; ``out_channels`` or ``num_classes``. A single required argument with
    another name is given the task, and an optional argument ``task`` is given it too. A module that the file has made
    is taken as it is. What is returned is a model for :func:`~mixq_rl.prepare`, or a :class:`QuantizableModel`.

    Modules in the folder of the file can be imported while the model is made. What the file prints goes to standard
    error.

    Args:
        model: the path of the file, and the name of the class or function: ``"net.py:Net"``.
        task: task of the model.
        weights: file with the weights of the model, as for :func:`~mixq_rl.nn.weights.read_weights`, which are loaded
            before the model is prepared; None: the model keeps those that it was made with.
        seed: seed of torch's random numbers in the file, such as those of initial weights.

    Raises:
        InputError: if a file cannot be read; for an exception in the user's code, with its line; for a class or
            function that does not exist, takes other arguments or returns no module; for weights of another model;
            and as in :func:`~mixq_rl.prepare`.
        UnsupportedLayerError: as in :func:`~mixq_rl.prepare`.
    """
    file = ModelFile.parse(model)
    with UserCode(file.path, read_source(file.path)) as code:
        with seeded(seed):
            module = _made(file, code, task)
        if weights is not None:
            load_weights(module, Path(weights))
        return prepare(module, task)


def _made(file: ModelFile, code: UserCode, task: GraphTask) -> nn.Module:
    make = _found(file, code.execute())
    if isinstance(make, nn.Module):
        return make
    if not callable(make):
        raise InputError(f"{file.label} is of type {type(make).__name__}, no class or function: {_remedy(file)}")
    args, kwargs = _arguments(file, make, task)
    with code.blamed():
        made = make(*args, **kwargs)
    if not isinstance(made, nn.Module):
        raise InputError(
            f"{file.label} returns an object of type {type(made).__name__}, not a torch.nn.Module: {_remedy(file)}"
        )
    return made


def _found(file: ModelFile, module: ModuleType) -> Any:
    if hasattr(module, file.name):
        return getattr(module, file.name)
    own = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
    nearest = difflib.get_close_matches(file.name, own, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]!r}?" if nearest else _remedy(file)
    raise InputError(f"model file {str(file.path)!r} has no {file.name!r}: {hint}")


def _arguments(file: ModelFile, make: Callable[..., object], task: GraphTask) -> tuple[list[object], dict[str, object]]:
    """Return the positional arguments and those by name that a class or function is called with."""
    values: dict[str, object] = {"task": task}
    values |= dict.fromkeys(("in_channels", "num_features"), task.num_features)
    values |= dict.fromkeys(("out_channels", "num_classes"), task.num_classes)
    try:
        parameters = inspect.signature(make).parameters.values()
    except (TypeError, ValueError) as error:
        raise InputError(f"the arguments of {file.label} are not known: {_remedy(file)}") from error
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    named = [parameter for parameter in parameters if parameter.kind not in variadic]
    required = [parameter for parameter in named if parameter.default is parameter.empty]
    if len(required) == 1 and required[0].name not in values:
        values = {required[0].name: task}
    unknown = [parameter.name for parameter in required if parameter.name not in values]
    if unknown:
        raise InputError(f"{file.label} takes {', '.join(unknown)}, which are not known: {_remedy(file)}")
    given = [parameter for parameter in named if parameter in required or parameter.name == "task"]
    first = inspect.Parameter.POSITIONAL_ONLY
    return (
        [values[parameter.name] for parameter in given if parameter.kind is first],
        {parameter.name: values[parameter.name] for parameter in given if parameter.kind is not first},
    )


def _remedy(file: ModelFile) -> str:
    return _REMEDY.format(file=printable(file.path.name))
