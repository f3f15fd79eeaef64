import re
from html.parser import HTMLParser
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError
from markupsafe import Markup

from mixq_rl.agents.report import rendering
from mixq_rl.agents.report.rendering import environment, place, render
from mixq_rl.printable import printable

TEMPLATES = {
    file.name: file.read_text(encoding="utf-8") for file in (files(rendering.__package__) / "templates").iterdir()
}
# What a parser of HTML reads as something else, whatever is written: NUL, and the ends of lines.
texts = st.text(st.characters(exclude_characters="\0\r", exclude_categories=["Cs"]))


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, attrs))

    def handle_data(self, data: str) -> None:
        self.text += data


@given(texts, texts)
def test_whatever_is_written_is_read_again_and_nothing_else(text: str, value: str) -> None:
    reader = Reader()
    reader.feed(environment().from_string('<p title="{{ value }}">{{ text }}</p>').render(text=text, value=value))
    reader.close()
    assert reader.tags == [("p", [("title", printable(value, keep="\n"))])]
    assert reader.text == printable(text, keep="\n")


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_no_template_leaves_a_value_as_it_is(name: str) -> None:
    template = TEMPLATES[name]
    code = " ".join(re.findall(r"\{[{%](.*?)[%}]\}", template, flags=re.DOTALL))
    assert not re.search(r"\b(safe|autoescape|Markup|tojson|xmlattr|forceescape)\b", code)
    # A value that stands in a tag without quotes could add attributes, whatever is escaped.
    unquoted = re.sub(r'"[^"]*"', '""', re.sub(r"\{%.*?%\}|\{#.*?#\}", "", template, flags=re.DOTALL))
    assert not [tag for tag in re.findall(r"<[a-z][^>]*>", unquoted) if "{{" in tag]


@given(texts)
def test_what_a_template_gives_is_markup_and_what_it_is_given_is_escaped(text: str) -> None:
    step = {"title": text, "command": text, "note": text}
    rendered = render("next_steps.html.j2", steps=[step])
    reader = Reader()
    reader.feed(environment().from_string("{{ inner }}").render(inner=rendered))
    reader.close()
    assert [tag for tag, _ in reader.tags] == ["div", "h3", "pre", "code", "p"]
    shown = printable(text, keep="\n")
    assert reader.text.replace("\n", "") == 3 * shown.replace("\n", "")


def test_a_value_that_is_missing_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="steps"):
        render("next_steps.html.j2")


def test_places_are_percentages() -> None:
    assert (place(0), place(0.12345), place(1)) == ("0.00%", "12.35%", "100.00%")


def test_characters_that_do_not_print_are_escaped_and_line_breaks_kept() -> None:
    page = environment().from_string("{{ text }}{{ number }}{{ markup }}")
    shown = page.render(text="a\x1b\u202e\udcff\n<", number=1, markup=Markup("<b>"))
    assert shown == "a\\x1b\\u202e\\xff\n&lt;1<b>"
