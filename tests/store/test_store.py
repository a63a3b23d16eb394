import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.permissions import IS_ROOT, another_user, open_the_way, small_disk, small_files
from helpers.records import EDITS, edited, filled, key_of, picture

from augsal_transforms import Contrast, EditStore

TESTS = Path(__file__).parents[1]


@pytest.fixture
def store(tmp_path):
    return filled(EditStore(tmp_path / "store"))


def run(*arguments, **options):
    command = [sys.executable, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS / "store"), *sys.path])}
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment, **options).stdout


def test_what_is_held_of_an_image_is_found_by_its_pixels(store):
    held = store.list_edits(picture(0))
    assert [(edit.kind, edit.color, edit.alpha) for edit in held] == [
        *(("brightness", "", -0.15), ("brightness", "", 0.15), ("color", "red", 0.4), ("contrast", "", 1.5))
    ]
    assert store.list_edits(picture(5)) == []
    for edit in held:
        assert store.read(edit.path).onto(picture(0)).kind == edit.kind


def test_what_is_held_is_found_by_the_files_stem_which_images_may_share(store):
    assert [edit.path for edit in store.find("photo-0")] == [edit.path for edit in store.list_edits(picture(0))]
    assert store.find("photo-7") == []
    name = "a stem/with ü — and far longer than a file name may be" * 20
    for n in (0, 3):
        store.put(key_of(picture(n), Contrast(2)), picture(n), edited(picture(n), Contrast(2)), source=name)
    assert len(store.find(name)) == 5 + 1


def test_the_index_of_stems_can_be_made_again(store):
    before = [edit.path for edit in store.find("photo-1")]
    for marker in (store.folder / "stems").glob("*/*"):
        marker.unlink()
    assert store.find("photo-1") == []
    assert store.rebuild_index() == 8
    assert [edit.path for edit in store.find("photo-1")] == before


def test_a_key_says_whether_its_edit_exists_and_is_sound(store):
    key = key_of(picture(0), EDITS[0])
    assert key in store
    assert key_of(picture(0), Contrast(1.6)) not in store
    store.path(key).write_bytes(store.path(key).read_bytes()[:-1])
    assert key not in store
    assert store.get(key) is None
    assert store.read(store.folder / "v1" / "absent") is None


def test_a_record_under_another_ones_name_is_a_miss(store):
    key, other = key_of(picture(0), EDITS[0]), key_of(picture(1), EDITS[1])
    store.path(key).write_bytes(store.path(other).read_bytes())
    assert store.get(key) is None


def test_a_readonly_store_writes_nothing_and_must_exist(store, tmp_path):
    before = sorted(store.folder.rglob("*"))
    reader = EditStore(store.folder, readonly=True)
    reader.put(key_of(picture(4), EDITS[0]), picture(4), edited(picture(4), EDITS[0]), source="four")
    assert sorted(store.folder.rglob("*")) == before
    assert len(reader.list_edits(picture(0))) == 4
    with pytest.raises(FileNotFoundError, match=r"no store of edits at .*absent.*augsal generate"):
        EditStore(tmp_path / "absent", readonly=True)
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077])
def test_the_umask_decides_who_may_read(tmp_path, umask):
    before = os.umask(umask)
    try:
        store = filled(EditStore(tmp_path / "store"), count=1)
    finally:
        os.umask(before)
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask for path in store.records())


@pytest.mark.parametrize("times", [8, pytest.param(40, marks=pytest.mark.slow)])
def test_kills_in_mid_write_leave_no_record_that_can_be_half_read(tmp_path, times):
    counts = run(TESTS / "helpers" / "kill_writers.py", tmp_path, times).splitlines()
    naive, (whole, broken, leftovers) = ([int(n) for n in line.split()] for line in counts)
    assert naive[1] > times / 4, "the kills must hit writes, or this shows nothing"
    assert whole > 0
    assert broken == 0
    assert leftovers <= times


def _write_one_key(folder, times):
    store, original = EditStore(folder), picture(size=(120, 160))
    for _ in range(times):
        store.put(key_of(original, EDITS[0]), original, edited(original, EDITS[0]))


def test_eight_writers_of_one_key_and_a_reader_need_no_lock(tmp_path):
    """8 processes × 50 writes; every read, made while they write, is whole."""
    program = f"""
import multiprocessing as mp
import torch
from helpers.records import *
from test_store import _write_one_key
from augsal_transforms import EditStore
torch.set_num_threads(1)
original = picture(size=(120, 160))
expected = edited(original, EDITS[0]).image
writers = [mp.get_context("fork").Process(target=_write_one_key, args=({str(tmp_path)!r}, 50)) for _ in range(8)]
_write_one_key({str(tmp_path)!r}, 1)
[writer.start() for writer in writers]
store, reads, torn = EditStore({str(tmp_path)!r}, readonly=True), 0, 0
while any(writer.is_alive() for writer in writers):
    read, found = store.get(key_of(original, EDITS[0])), store.edits_of(original)
    reads, torn = reads + 1, torn + (read is None or not torch.equal(read.onto(original).image, expected))
    torn += [len(edit.known_hash) for edit in found] != [32] or not torch.equal(found[0].load().image, expected)
print(reads, torn, len(list(store.records())), len(list(store.temporary_files())), sum(w.exitcode for w in writers))
"""
    reads, *rest = (int(n) for n in run("-c", program).split())
    assert reads > 20
    assert rest == [0, 1, 0, 0]


def test_a_full_disk_leaves_no_partial_file_and_earlier_records_readable(tmp_path):
    """A file-size limit stands in for the full disk: a write ends in the middle, as it does there."""
    store, large = filled(EditStore(tmp_path), count=1), picture(7, (240, 320))
    with small_files(20_000), pytest.raises(OSError, match="File too large"):
        store.put(key_of(large, EDITS[0]), large, edited(large, EDITS[0], (0, 0, 240, 320)))
    assert list(store.temporary_files()) == []
    assert [store.read(path) is not None for path in store.records()] == [True] * 4


@pytest.mark.skipif(not IS_ROOT, reason="mounting a small file system needs root")
def test_a_full_file_system_leaves_no_partial_file(tmp_path):
    with small_disk(tmp_path, "300k"):
        store, written = filled(EditStore(tmp_path)), 0
        with pytest.raises(OSError, match="No space left"):
            for n in range(9):
                large = picture(n + 10, (120, 160))
                result = edited(large, EDITS[0], (0, 0, 120, 160))
                store.put(key_of(large, EDITS[0]), large, result)
                written += 1
        assert list(store.temporary_files()) == []
        assert sum(store.read(path) is not None for path in store.records()) == 8 + written > 8


@pytest.mark.skipif(not IS_ROOT, reason="becoming another user needs root")
def test_another_user_reads_what_we_wrote_and_cannot_write(store):
    open_the_way(store.folder)
    with another_user():
        reader = EditStore(store.folder)
        assert all(reader.read(edit.path) is not None for edit in reader.list_edits(picture(0)))
        assert len(reader.list_edits(picture(0))) == 4
        with pytest.raises(PermissionError):
            reader.put(key_of(picture(4), EDITS[0]), picture(4), edited(picture(4), EDITS[0]))
