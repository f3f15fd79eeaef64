from mixq_rl.datasets.messages import in_one_line, listed


def test_text_of_a_file_is_short_and_printable() -> None:
    assert in_one_line("a line") == "a line"
    assert in_one_line("\x1b[2J\n") == "\\x1b[2J\\n"
    assert in_one_line("a" * 10**6) == "a" * 197 + "..."
    assert len(in_one_line("\0" * 10**6)) == 200


def test_first_names_are_listed() -> None:
    assert listed([]) == "nothing"
    assert listed(["x", "y"]) == "x, y"
    assert listed([str(number) for number in range(100)]) == "0, 1, 2, 3, 4, 5, 6, 7, ..."


def test_spaces_that_look_like_the_usual_one_are_escaped() -> None:
    assert in_one_line("a b\xa0c\u2003d") == r"a b\xa0c\u2003d"
