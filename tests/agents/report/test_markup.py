from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from mixq_rl.agents.report.markup import Markup, element, joined

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
    reader.feed(element("p", text, title=value))
    reader.close()
    assert reader.tags == [("p", [("title", value)])]
    assert reader.text == text


def test_names_of_attributes_and_elements_that_are_empty() -> None:
    assert element("meta", http_equiv="x", class_="y", id=None) == '<meta http-equiv="x" class="y">'
    assert element("rect", width=2.5) == '<rect width="2.5"></rect>'


def test_markup_is_taken_as_it_is() -> None:
    assert element("b", element("i", "<"), ">") == "<b><i>&lt;</i>&gt;</b>"
    assert joined("&", Markup("<br>"), between=Markup("<wbr>")) == "&amp;<wbr><br>"
    assert isinstance(joined("a"), Markup)
