"""The page's templates, rendered by Jinja, which escapes every value, also characters that do not print."""

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mixq_rl.agents.quantities import memory, milliseconds, percent, shape, times
from mixq_rl.printable import printable

__all__ = ["render"]


def render(template: str, **values: object) -> Markup:
    """Return a template filled with values.

    Args:
        template: its file in ``templates/``.
        values: by name. Text is escaped; a :class:`markupsafe.Markup`, such as another rendered template, is not.

    Raises:
        jinja2.UndefinedError: if the template needs a value that is not given.
    """
    return Markup(environment().get_template(template).render(values))  # noqa: S704 (autoescape is on)


def _shown(value: object) -> object:
    """Return a value of a template without characters that do not print, except line breaks of our own texts."""
    return printable(value, keep="\n") if isinstance(value, str) and not isinstance(value, Markup) else value


@cache
def environment() -> Environment:
    """Return Jinja's environment of all templates: it escapes, and refuses names that are not defined."""
    made = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "memory": memory,
        "milliseconds": milliseconds,
        "percent": percent,
        "shape": shape,
        "times": times,
        "place": place,
    }
    return made


def place(share: float) -> str:
    """Return a coordinate of SVG, from a share of the drawing's width or height."""
    return f"{100 * share:.2f}%"
