import io
import zipfile

import pytest

from mixq_rl.datasets.zip_files import open_zip


def test_long_lists_of_records_are_refused() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number in range(200):
            archive.writestr(f"{'n' * 60_000}{number}", b"")
    size = len(file.getvalue())
    with pytest.raises(ValueError, match="a list of records as long as its content"):
        open_zip(file, size)
    assert len(open_zip(file, 2 * 10**8).infolist()) == 200


def test_encrypted_archives_are_refused() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x.npy", b"")
    content = bytearray(file.getvalue())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(ValueError, match="encrypted"):
        open_zip(io.BytesIO(content), len(content))


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x05\x06", b"PK\x05\x06" + b"\xff" * 18])
def test_what_is_no_archive_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"not an archive|same name|list"):
        open_zip(io.BytesIO(content), len(content))
