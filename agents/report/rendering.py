"""The page's templates, rendered by Jinja, which escapes every value."""

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mixq_rl.agents.quantities import memory, milliseconds, percent, shape, times

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


@cache
def environment() -> Environment:
    """Return Jinja's environment of all templates: it escapes, and refuses names that are not defined."""
    made = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
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
