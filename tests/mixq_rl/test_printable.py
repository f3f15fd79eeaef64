import os
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixq_rl.printable import printable, shell_word

STRANGE = "g\x1b[31m\n\t\u202e\u2028\x85" + os.fsdecode(b"\xff")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("graph.npz", "graph.npz"),
        ("a b\u00a0é ★", "a b\u00a0é ★"),
        (STRANGE, r"g\x1b[31m\n\t\u202e\u2028\x85\xff"),
        ("\ud800\U000e0001", r"\ud800\U000e0001"),
        ("", ""),
    ],
)
def test_characters_that_do_not_print_are_escaped(text: str, expected: str) -> None:
    assert printable(text) == expected


def test_line_breaks_can_be_kept() -> None:
    assert printable("a\nb\r\x1b", keep="\n") == "a\nb\\r\\x1b"


@given(st.text(st.characters(codec=None)))
def test_what_is_returned_can_be_encoded_and_is_one_line(text: str) -> None:
    escaped = printable(text)
    escaped.encode()
    assert "\x1b" not in escaped
    assert len(escaped.splitlines()) <= 1
    assert printable(escaped) == escaped


@pytest.mark.parametrize("name", ["plain", "two words", "it's", "\x1bit's \\ two", STRANGE, "1\x012"])
def test_a_shell_reads_the_word_as_the_name(name: str) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")
    word = shell_word(name)
    assert printable(word) == word
    read = subprocess.run([bash, "-c", f"printf %s {word}"], capture_output=True, check=True)
    assert read.stdout == os.fsencode(name)
