"""The docstrings' roles, formulas and examples, rewritten for mkdocstrings, and the choice of what is shown."""

import logging
import re
from collections.abc import Iterator
from typing import Any

from griffe import Class, Docstring, Extension, Module, Object

ROLE = re.compile(r":(attr|class|data|exc|func|meth|mod):`(~?)([\w.]+)`")
FORMULA = re.compile(r":math:`([^`]+)`")
DISPLAY = re.compile(r"^( *)\.\. math::\n+((?:\1 +\S.*\n?)+)", re.MULTILINE)
# Griffe reads ">>>" in the plural section only, and a name before each colon.
EXAMPLE = re.compile(r"^Example:$", re.MULTILINE)
SEVERAL = re.compile(r"^(?P<indent> +)(?P<names>\w+(?:, \w+)+):(?P<text> .*\n?(?:(?P=indent) +\S.*\n?)*)", re.MULTILINE)

log = logging.getLogger("mkdocs.docstrings")


class Docstrings(Extension):
    """Rewrites the docstrings of a package when it has been read.

    mkdocstrings shows what has a docstring. Exported names, properties and members of enumerations get an empty one,
    unless the docstring of their class describes them.
    """

    def on_package(self, *, pkg: Module, **_: Any) -> None:
        for found in _objects(pkg):
            if found.docstring is not None:
                found.docstring.value = _rewritten(found.docstring.value, found)
            elif _speaks_for_itself(found):
                found.docstring = Docstring("", parent=found)


def _objects(parent: Object) -> Iterator[Object]:
    yield parent
    for member in parent.members.values():
        if not member.is_alias:
            yield from _objects(member)


def _speaks_for_itself(found: Object) -> bool:
    owner = found.parent
    if not isinstance(owner, Class):
        return found.is_exported
    named = owner.docstring is not None and re.search(rf"^ +{found.name}:", owner.docstring.value, re.MULTILINE)
    enumerated = found.is_attribute and any("Enum" in str(base) for base in owner.bases)
    return not named and ("property" in found.labels or enumerated)


def _rewritten(text: str, owner: Object) -> str:
    text = ROLE.sub(lambda role: _reference(role, owner), text)
    text = FORMULA.sub(lambda formula: rf"\({formula[1]}\)", text)
    text = DISPLAY.sub(_display, text)
    text = EXAMPLE.sub("Examples:", text)
    return SEVERAL.sub(_one_each, text)


def _reference(role: re.Match[str], owner: Object) -> str:
    kind, short, name = role.groups()
    label = name.rpartition(".")[2] if short else name
    if kind in ("func", "meth"):
        label += "()"
    if not name.startswith("mixq_rl.") and name.partition(".")[0] in ("torch", "typer"):
        return f"`{label}`"
    path = _path(name, owner)
    if path is None:
        log.warning("%s refers to %s, which does not exist", owner.path, name)
        return f"`{label}`"
    return f'<autoref identifier="{path}" optional><code>{label}</code></autoref>'  # optional: some are not public


def _path(name: str, owner: Object) -> str | None:
    scope: Any = owner.modules_collection if name.startswith("mixq_rl.") else owner
    while scope is not None:
        try:
            return scope[name].canonical_path
        except KeyError:
            scope = getattr(scope, "parent", None)
    return None


def _display(formula: re.Match[str]) -> str:
    indent, lines = formula.groups()
    return f"{indent}\\[\n{lines.rstrip()}\n{indent}\\]\n"


def _one_each(entry: re.Match[str]) -> str:
    text = entry["text"] if entry["text"].endswith("\n") else entry["text"] + "\n"
    return "".join(f"{entry['indent']}{name}:{text}" for name in entry["names"].split(", "))
