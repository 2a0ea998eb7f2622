import errno
from pathlib import Path

import pytest

from ubc_lib.system.errors import InputError
from ubc_lib.system.files import atomic_path


def test_a_file_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "folder" / "result.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"


def test_a_failure_leaves_the_earlier_file_and_nothing_else(tmp_path):
    path = tmp_path / "result.txt"
    path.write_text("earlier")
    with pytest.raises(KeyError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise KeyError
    assert [p.name for p in tmp_path.iterdir()] == ["result.txt"]
    assert path.read_text() == "earlier"


def test_a_full_disk_is_reported_and_the_earlier_file_kept(tmp_path):
    path = tmp_path / "result.txt"
    path.write_text("earlier")
    message = r"result\.txt could not be written \(No space left"
    with pytest.raises(InputError, match=message), atomic_path(path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert path.read_text() == "earlier"


def test_a_folder_that_cannot_be_made_is_reported(tmp_path):
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "result.txt"
    with pytest.raises(InputError, match="could not be written"), atomic_path(path):
        pass


def test_everybody_may_read_the_file(tmp_path):
    with atomic_path(tmp_path / "result.txt") as temporary:
        temporary.write_text("")
    assert Path(tmp_path / "result.txt").stat().st_mode & 0o777 == 0o644
