"""Options of a command, made from the fields of a configuration.

A field is an option if its metadata has ``help``. The option has the field's name, with ``-`` for ``_``, its type and
its default. On a command line a tuple of integers is written ``2,4,8``, and a tuple of strings as several options. The
metadata holds keyword arguments of :func:`typer.Option`, and two more:

* ``names``: names of the option if it has several: ``("--num-layers", "--layers")``.
* ``completion``: values that a shell offers.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import Field, dataclass, fields
from enum import Enum
from functools import wraps
from itertools import product
from types import UnionType
from typing import Annotated, Any, Generic, TypeVar, get_args, get_type_hints

import typer

from mixq_rl.errors import InputError

__all__ = ["Given", "among", "options_of"]

_Config = TypeVar("_Config")
_REPEATABLE = " May be given several times."
_SEVERAL = " May be given several times: one policy then learns on all combinations."


@dataclass(frozen=True)
class Given(Generic[_Config]):
    """Values of a configuration from a command line.

    Attributes:
        kind: class of the configuration.
        values: values of its fields, in the types of the command line.
        several: names of fields with a list of values.
    """

    kind: type[_Config]
    values: Mapping[str, Any]
    several: tuple[str, ...] = ()

    def config(self, **others: Any) -> _Config:
        """Return the configuration.

        Args:
            others: values of fields that are not on the command line, or have a list there.

        Raises:
            InputError: for a value that the configuration refuses.
        """
        hints = get_type_hints(self.kind)
        values = {**self.values, **others}
        return self.kind(**{name: _parsed(name, hints[name], value) for name, value in values.items()})

    def configs(self, **others: Any) -> list[_Config]:
        """Return the configurations of all combinations; the last of the fields with several values varies fastest.

        Args:
            others: values of fields that are not on the command line, the same in all.

        Raises:
            InputError: for a value that the configuration refuses.
        """
        lists = [self.values[name] or [None] for name in self.several]
        return [self.config(**others, **dict(zip(self.several, chosen, strict=True))) for chosen in product(*lists)]


def options_of(
    kind: type[_Config],
    *,
    only: Iterable[str] = (),
    without: Iterable[str] = (),
    several: tuple[str, ...] = (),
    parameter: str = "given",
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that replaces a parameter of a command by options, and passes their values as :class:`Given`.

    If the command has a parameter with the name of a field, that parameter is kept instead of the field's option.

    Args:
        kind: class of the configuration.
        only: names of the fields that become options; empty: all fields with ``help``.
        without: names of fields that do not become options.
        several: names of fields whose options may be given several times.
        parameter: name of the parameter that is replaced.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command).parameters
        left_out = {*without, *own}
        made = [
            option
            for option in _parameters(kind, several)
            if option.name not in left_out and (not only or option.name in only)
        ]

        @wraps(command)
        def with_options(**values: Any) -> None:
            chosen = {option.name: values.pop(option.name) for option in made}
            command(**{parameter: Given(kind, chosen, several)}, **values)

        flat: list[inspect.Parameter] = []
        for before in own.values():
            flat += made if before.name == parameter else [before]
        with_options.__signature__ = inspect.Signature(flat)  # type: ignore[attr-defined]  # typer reads it
        return with_options

    return decorate


def among(names: Iterable[str]) -> Callable[[str], list[str]]:
    """Return a function from the beginning of a name to the names that complete it."""
    return lambda incomplete: [name for name in names if name.lower().startswith(incomplete.lower())]


def _parameters(kind: type[Any], several: tuple[str, ...]) -> Iterator[inspect.Parameter]:
    hints = get_type_hints(kind)
    for field in fields(kind):
        if "help" in field.metadata:
            yield _parameter(field, _typed(hints[field.name]), field.name in several)


def _parameter(field: Field[Any], kind: Any, several: bool) -> inspect.Parameter:
    settings, default = dict(field.metadata), _written(field.default)
    names, completion = settings.pop("names", ()), settings.pop("completion", None)
    if completion is not None:
        settings["autocompletion"] = among(completion)
    if several:
        settings["help"] += _SEVERAL
        kind, default = list[kind], None if default is None else [default]
    elif kind == list[str]:
        settings["help"] += _REPEATABLE
    option = Annotated[kind, typer.Option(*names, **settings)]
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=option)


def _typed(hint: Any) -> Any:
    """Return the type of a field's option: a command line has no None and no tuples."""
    if isinstance(hint, UnionType):
        (hint,) = (part for part in get_args(hint) if part is not type(None))
    if hint == tuple[str, ...]:
        return list[str]
    is_text = hint == tuple[int, ...] or (isinstance(hint, type) and issubclass(hint, Enum))
    return str if is_text else hint


def _written(value: Any) -> Any:
    """Return a field's default in the type of its option."""
    if isinstance(value, tuple) and all(isinstance(item, str) for item in value):
        return list(value)
    if isinstance(value, tuple):
        return ",".join(str(item) for item in value)
    return value.value if isinstance(value, Enum) else value


def _parsed(name: str, hint: Any, value: Any) -> Any:
    if hint == tuple[str, ...]:
        return tuple(value)
    if hint != tuple[int, ...] or not isinstance(value, str):
        return value
    try:
        return tuple(int(part) for part in value.split(","))
    except ValueError as error:
        option = name.replace("_", "-")
        raise InputError(f"--{option} {value!r} is not a list of whole numbers such as 2,4,8") from error
