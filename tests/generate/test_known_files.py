"""Finished images are recognised by their files, and by their pixels wherever these do not prove it."""

import hashlib
import json
import os
import shutil
import threading
import time

import PIL.Image
import pytest
from helpers.datasets import write_folder

from augsal_transforms import Contrast, EditStore
from augsal_transforms.data.folders import SaliencyFolder
from augsal_transforms.generate import known_files
from augsal_transforms.generate.generation import Generation
from augsal_transforms.generate.jobs import Finished
from augsal_transforms.generate.known_files import KnownFiles, state_of

H = ("a" * 64, "b" * 64)


@pytest.fixture
def aged(monkeypatch):
    """Files count as old at once: a test does not wait for two seconds."""
    monkeypatch.setattr(known_files, "_YOUNG", 0)


@pytest.fixture
def data(tmp_path, aged):
    return write_folder(tmp_path / "data")


@pytest.fixture
def new(data, tmp_path, editor):
    def make(**options):
        return Generation(editor, EditStore(tmp_path / "store"), SaliencyFolder(data), (Contrast(1.5),), **options)

    first = make()
    first.run(first.files.names)
    assert first.counts["made"] == 6
    return make


def recognised(generation):
    """Names of the images that are not read."""
    return {name for name, job in generation.jobs(generation.files.names) if isinstance(job, Finished)}


def image_of(data, n):
    return data / "images" / "train" / f"photo-{n}.png"


def test_a_second_run_reads_no_image_and_counts_as_before(new):
    again = new()
    assert len(recognised(again)) == 6
    again.run(again.files.names)
    assert again.counts == {"reused": 6}
    assert recognised(new(check_pixels=True)) == set()
    checked = new(check_pixels=True)
    checked.run(checked.files.names)
    assert checked.counts == {"reused": 6}


def test_an_old_store_gets_the_file_by_a_run_that_makes_nothing(new):
    shutil.rmtree(new().store.folder / known_files.FOLDER)
    assert recognised(new()) == set()
    again = new()
    again.run(again.files.names)
    assert again.counts == {"reused": 6}
    assert len(recognised(new())) == 6


def test_other_edits_captions_and_deleted_records_are_seen(new, data):
    other = new()
    other.edits = (Contrast(1.3),)
    assert recognised(other) == set()
    next(new().store.records()).unlink()
    assert len(recognised(new())) == 5
    again = new()
    again.run(again.files.names)
    assert again.counts == {"made": 1, "reused": 5}
    (data / "captions.json").write_text("{}")
    for path in data.rglob("captions*2014.json"):
        path.unlink()
    assert recognised(new()) == set()


def rewrite(path):
    """Other pixels in a file of the same size, with the same modification time."""
    status, content = path.stat(), path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def swap(path):
    other = path.with_name("photo-1.png")
    path.rename(path.with_suffix(".away"))
    other.rename(path)
    path.with_suffix(".away").rename(other)


def replace_by_a_copy(path):
    shutil.copy2(path, path.with_suffix(".copy"))
    path.with_suffix(".copy").replace(path)


@pytest.mark.parametrize("change", [rewrite, swap, replace_by_a_copy])
@pytest.mark.parametrize("kind", ["images", "maps"])
def test_a_file_that_was_touched_is_read(new, data, change, kind):
    path = data / kind / "train" / "photo-0.png"
    change(path)
    assert "photo-0" not in recognised(new())


def test_a_file_that_passes_for_the_one_before_it_is_found_by_its_pixels(new, data):
    # As on a file system that gives a new file the size, times and number of the old one.
    PIL.Image.new("RGB", (40, 32), (200, 30, 30)).save(image_of(data, 0))
    again = new()
    path = again.files.images["photo-0"], again.files.maps["photo-0"]
    (hashes,) = (again.known.find(state_of(again.files.images[n], again.files.maps[n])) for n in ("photo-1",))
    again.known.add(state_of(*path), hashes)
    again.known.write()
    assert "photo-0" in recognised(new())
    checked = new(check_pixels=True)
    checked.run(checked.files.names)
    assert checked.counts["reused"] == 5
    assert checked.counts["made"] + checked.counts["refused"] == 1


def test_names_that_are_hard_links_of_one_file_are_one_picture(new, data):
    for kind in ("images", "maps"):
        for n in (6, 7):
            os.link(data / kind / "train" / "photo-0.png", data / kind / "train" / f"photo-{n}.png")
    captions = json.loads((data / "captions.json").read_text())
    (data / "captions.json").write_text(json.dumps({**captions, "photo-6": "a red dog on the street"}))
    assert recognised(new()) == {f"photo-{n}" for n in range(1, 6)}  # a new link changes the file's own time
    again = new()
    again.run(again.files.names)
    assert again.counts == {"reused": 7, "made": 1}  # photo-7 has no caption, which is an edit of its own
    assert len(recognised(new())) == 8
    PIL.Image.new("RGB", (40, 32), (200, 30, 30)).save(image_of(data, 7))  # through one name, for all three
    assert recognised(new()) == {f"photo-{n}" for n in range(1, 6)}


def test_a_changed_image_gets_an_edit_of_its_own(new, data):
    PIL.Image.new("RGB", (40, 32), (200, 30, 30)).save(image_of(data, 0))
    again = new()
    again.run(again.files.names)
    assert again.counts["reused"] == 5
    assert again.counts["made"] + again.counts["refused"] == 1


def test_a_file_younger_than_the_coarsest_clock_has_no_state(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"x")
    assert state_of(path, path) is None
    os.utime(path, (0, 0))  # the time of the change tells that the file is new
    assert state_of(path, path) is None


def test_an_entry_of_the_future_is_not_believed(tmp_path, monkeypatch):
    known = KnownFiles(tmp_path)
    later = time.time_ns() + 10**12
    known.add(b"0" * 16, H)
    known._own[b"1" * 16] = (H, later)
    known.write()
    again = KnownFiles(tmp_path)
    assert again.find(b"0" * 16) == H
    assert again.find(b"1" * 16) is None


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "link", "folder", "claimed"])
def test_a_damaged_or_strange_file_is_no_entry(tmp_path, damage):
    known = KnownFiles(tmp_path)
    known.add(b"0" * 16, H)
    known.write()
    (path,) = (tmp_path / known_files.FOLDER).iterdir()
    content = path.read_bytes()
    path.unlink()
    if damage == "link":
        (tmp_path / "elsewhere").write_bytes(content)
        path.symlink_to(tmp_path / "elsewhere")
    elif damage == "folder":
        path.mkdir()
    elif damage == "claimed":  # of other decoders
        head = len(known_files._MAGIC)
        path.write_bytes(content[:head] + hashlib.sha256(b"other").digest() + content[head + 32 :])
    else:
        flipped = content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]
        path.write_bytes({"cut": content[:-1], "flip": flipped, "empty": b""}[damage])
    assert KnownFiles(tmp_path).find(b"0" * 16) is None


def test_writers_at_once_lose_nothing_and_many_files_become_one(tmp_path):
    def fill(number):
        known = KnownFiles(tmp_path)
        for n in range(20):
            known.add(bytes([number, n]) * 8, H)
            known.write()

    threads = [threading.Thread(target=fill, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list((tmp_path / known_files.FOLDER).iterdir())) == 20
    last = KnownFiles(tmp_path)
    assert all(last.find(bytes([number, n]) * 8) == H for number in range(20) for n in range(20))
    last.add(b"last" * 4, H)
    last.write()
    (left,) = (tmp_path / known_files.FOLDER).iterdir()
    assert left == last._path
    again = KnownFiles(tmp_path)
    assert again.find(b"last" * 4) == again.find(bytes([7, 7]) * 8) == H


def test_a_store_that_cannot_be_written_to_is_no_error(tmp_path):
    (tmp_path / known_files.FOLDER).write_text("in the way")
    known = KnownFiles(tmp_path)
    known.add(b"0" * 16, H)
    known.write()
    assert (tmp_path / known_files.FOLDER).read_text() == "in the way"
