"""Atomic writes, retries and reads that follow no link."""

import errno
import os
import threading

import pytest

from augsal_transforms.files import (
    is_file,
    is_folder,
    list_folder,
    make_folder,
    read_file,
    replacing,
    retry,
    write_file,
)


class Failing:
    """Calls a function of ``os``, but fails with each of the given errors first, before or after the call."""

    def __init__(self, function, *errors, after=False):
        self.function, self.errors, self.after, self.calls = function, list(errors), after, 0

    def __call__(self, *args, **kwargs):
        self.calls += 1
        if self.errors:
            number = self.errors.pop(0)
            if self.after:
                self.function(*args, **kwargs)
            raise OSError(number, os.strerror(number))
        return self.function(*args, **kwargs)


@pytest.mark.parametrize("name", ["replace", "open"])
@pytest.mark.parametrize("number", [errno.ESTALE, errno.EAGAIN, errno.EINTR])
def test_a_transient_error_is_tried_again(tmp_path, monkeypatch, name, number):
    failing = Failing(getattr(os, name), number, number)
    monkeypatch.setattr(os, name, failing)
    write_file(tmp_path / "a" / "file", b"content")
    assert failing.calls == 3
    assert (tmp_path / "a" / "file").read_bytes() == b"content"
    assert len(list((tmp_path / "a").iterdir())) == 1


def test_a_rename_whose_answer_was_lost_is_made_again(tmp_path, monkeypatch):
    """The server carried the first one out; the repeated request finds no source."""
    monkeypatch.setattr(os, "replace", Failing(os.replace, errno.ENOENT, after=True))
    write_file(tmp_path / "file", b"content")
    assert (tmp_path / "file").read_bytes() == b"content"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO])
def test_an_error_that_will_not_pass_is_raised_at_once(tmp_path, monkeypatch, number):
    failing = Failing(os.replace, *[number] * 9)
    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(OSError, match=r"\[Errno"):
        write_file(tmp_path / "file", b"content")
    assert failing.calls == 1
    assert list(tmp_path.iterdir()) == []


def test_retries_end(monkeypatch):
    monkeypatch.setattr("augsal_transforms.files._PAUSES", (0.0, 0.0))
    failing = Failing(os.getcwd, *[errno.ESTALE] * 9)
    with pytest.raises(OSError, match="Errno"):
        retry(failing)
    assert failing.calls == 3


def test_a_file_is_whole_or_absent_and_a_link_in_its_place_is_not_followed(tmp_path):
    (tmp_path / "target").write_bytes(b"kept")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write_file(tmp_path / "link", b"new")
    assert (tmp_path / "target").read_bytes() == b"kept"
    assert is_file(tmp_path / "link")
    with pytest.raises(RuntimeError, match="cut off"), replacing(tmp_path / "link") as file:
        file.write(b"half")
        raise RuntimeError("cut off")
    assert (tmp_path / "link").read_bytes() == b"new"
    assert len(list(tmp_path.iterdir())) == 2


def test_a_long_name_of_any_letters_can_be_written(tmp_path):
    for name in ("\u00e9" * 120, os.fsdecode(b"\xff\xfe" * 100), "a" * 250):
        write_file(tmp_path / name, b"content")
        assert (tmp_path / name).read_bytes() == b"content"


def test_only_regular_files_of_a_known_size_are_read(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    assert read_file(tmp_path / "file", 5) == b"12345"
    assert read_file(tmp_path / "file", 4) is None
    for name in ("link", "pipe", "folder"):
        assert read_file(tmp_path / name, 100) is None
        assert not is_file(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path / "absent", 5)


def test_folders_are_listed_and_made_without_following_links(tmp_path):
    (tmp_path / "elsewhere" / "b").mkdir(parents=True)
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a").symlink_to(tmp_path / "elsewhere")
    assert list_folder(tmp_path / "root", "a") == list_folder(tmp_path / "root", "a", "b") == []
    assert list_folder(tmp_path / "root", "absent") == []
    assert not is_folder(tmp_path / "root" / "a")
    with pytest.raises(NotADirectoryError, match="no link"):
        make_folder(tmp_path / "root", "a", "b")
    made = [threading.Thread(target=make_folder, args=(tmp_path / "root", "x", "y")) for _ in range(8)]
    for thread in made:
        thread.start()
    for thread in made:
        thread.join()
    assert is_folder(tmp_path / "root" / "x" / "y")
