"""Formulas as MathML, which browsers show without a script."""

import html
import re

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

# What pymdownx.arithmatex makes of \( ... \) and \[ ... \].
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def on_page_content(content: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Convert the formulas of a page."""

    def mathml(formula: re.Match[str]) -> str:
        return convert(html.unescape(formula[2]).strip(), display="block" if formula[1] == "div" else "inline")

    return FORMULA.sub(mathml, content)
