"""The hash of a user's model covers the modules beside it that it imports."""

from pathlib import Path

import pytest

from mixq_rl.nn.source_files import source_digest

FILES = {
    "net.py": (
        "import torch, numpy.linalg\nimport deep\nfrom layers import X\nfrom pack import part\n"
        "import pack.sub.leaf as leaf\n"
    ),
    "layers.py": "def f():\n    from . import nothing\n    import lazy\n",
    "lazy.py": "import net\n",
    "pack/__init__.py": "",
    "pack/part.py": "from .beside import y\nfrom ..outside import z\n",
    "pack/beside.py": "",
    "pack/sub/__init__.py": "",
    "pack/sub/leaf.py": "from .. import other\n",
    "pack/other.py": "",
    "deep.py": "this is no Python\n",
    "unused.py": "",
    "pack/unused.py": "",
}


@pytest.fixture
def net(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path / "net.py"


@pytest.mark.parametrize("name", FILES)
def test_a_change_of_an_imported_file_changes_the_hash(net: Path, name: str) -> None:
    before = source_digest(net)
    assert source_digest(net) == before
    with (net.parent / name).open("a") as file:
        file.write("# changed\n")
    assert (source_digest(net) == before) == ("unused" in name)


def test_the_place_of_the_files_does_not_matter(net: Path) -> None:
    before = source_digest(net)
    moved = net.parent.parent / "elsewhere"
    net.parent.rename(moved)
    assert source_digest(moved / "net.py") == before
    (moved / "link.py").symlink_to("net.py")
    assert source_digest(moved / "link.py") == before
