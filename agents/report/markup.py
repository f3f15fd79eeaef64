"""HTML that cannot be broken by what it is given: text is escaped unless it was made here."""

from html import escape

__all__ = ["Markup", "element", "joined"]

_VOID = ("br", "col", "link", "meta")


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(name: str, /, *content: str, **attributes: str | float | None) -> Markup:
    """Return an element.

    Args:
        name: of the element.
        content: in order; what is no :class:`Markup` is text, and escaped.
        attributes: by name, with ``_`` for ``-``, and one at the end where the name is Python's (``class_``); those
            that are None are left out.
    """
    given = "".join(
        f' {key.removesuffix("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{given}>")
    return Markup(f"<{name}{given}>{joined(*content)}</{name}>")


def joined(*content: str, between: str = "") -> Markup:
    """Return pieces one after another; what is no :class:`Markup` is escaped."""
    return Markup(_escaped(between).join(_escaped(piece) for piece in content))


def _escaped(piece: str) -> str:
    return piece if isinstance(piece, Markup) else escape(piece)
