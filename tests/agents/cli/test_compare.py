import errno
import json
import os
from pathlib import Path

import pytest

import mixq_rl.agents.cli.compare as compare_module
from tests.agents.cli.invoking import Invoke

PNG = b"\x89PNG"


def test_draws_into_the_first_folder(invoke: Invoke, small_run: Path) -> None:
    ended = invoke("compare", str(small_run))
    assert (ended.code, ended.stderr) == (0, "")
    assert ended.stdout.endswith("figure: run/comparison.png\n")
    assert (small_run / "comparison.png").read_bytes().startswith(PNG)


def test_a_link_in_place_of_the_figure_is_replaced_and_not_followed(invoke: Invoke, small_run: Path) -> None:
    mine, figure = Path("mine.txt"), Path("figure.png")
    mine.write_text("mine")
    figure.symlink_to(mine.absolute())
    assert invoke("compare", str(small_run), "--figure", str(figure), "--quiet").code == 0
    assert mine.read_text() == "mine"
    assert not figure.is_symlink()
    assert figure.read_bytes().startswith(PNG)


def test_a_folder_that_cannot_be_written_is_compared(
    invoke: Invoke, small_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, content: bytes) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(compare_module, "replace_file", refuse)
    ended = invoke("compare", str(small_run))
    assert (ended.code, ended.stderr) == (0, "")
    assert "hypervolume" in ended.stdout
    assert ended.stdout.endswith("no figure: run/comparison.png: Read-only file system; name a file with --figure\n")
    assert json.loads(invoke("compare", str(small_run), "--json").stdout)["figure"] is None
    refused = invoke("compare", str(small_run), "--figure", "it.png")
    assert (refused.code, refused.stderr) == (1, "mixq-rl: it.png: Read-only file system\n")


@pytest.mark.parametrize(("name", "begins"), [("it.pdf", b"%PDF"), ("it", PNG), ("it.PNG", PNG)])
def test_the_suffix_is_the_format(name: str, begins: bytes, invoke: Invoke, small_run: Path) -> None:
    assert invoke("compare", str(small_run), "--figure", name).code == 0
    assert Path(name).read_bytes().startswith(begins)


def test_an_unknown_format_is_one_line(invoke: Invoke, small_run: Path) -> None:
    ended = invoke("compare", str(small_run), "--figure", "it.xyz")
    assert ended.code == 2
    assert ended.stderr.startswith("mixq-rl: the figure cannot be written to 'it.xyz': ")
    assert not Path("it.xyz").exists()
