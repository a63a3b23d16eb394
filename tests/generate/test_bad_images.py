"""One bad image costs itself, whatever it raises; one bad file in a store costs nothing."""

import errno
import json
import os
import shutil

import PIL.Image
import pytest
import torch
from helpers.datasets import write_folder
from helpers.permissions import IS_ROOT, another_user, open_the_way

from augsal_transforms import Contrast, EditConfig, EditStore, SaliencyEditor
from augsal_transforms.data.folders import SaliencyFolder
from augsal_transforms.generate import generation as module
from augsal_transforms.generate import jobs
from augsal_transforms.generate.claims import Claims, Failures
from augsal_transforms.generate.estimate import estimate
from augsal_transforms.generate.generation import Generation
from augsal_transforms.generate.jobs import JobReader
from augsal_transforms.generate.known_files import KnownFiles


@pytest.fixture
def data(tmp_path):
    return write_folder(tmp_path / "data")


@pytest.fixture
def generation(data, tmp_path, editor):
    return Generation(editor, EditStore(tmp_path / "store"), SaliencyFolder(data), (Contrast(1.5),))


def listed(store):
    lines = (store.folder / "failures.jsonl").read_text().splitlines()
    return {note["name"]: note["error"] for note in map(json.loads, lines)}


class Broken:
    """Captions, of which one cannot be had."""

    def __init__(self, captions, name, error):
        self.captions, self.name, self.error = captions, name, error

    def get(self, name, default=""):
        if name == self.name:
            raise self.error
        return self.captions.get(name, default)


@pytest.mark.parametrize(
    "error",
    [
        *(KeyError("a key"), RuntimeError("any trouble"), MemoryError(), RecursionError("deep"), AssertionError("no")),
        *(ZeroDivisionError("zero"), UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates"), EOFError()),
        *(
            OSError("a decoder's"),
            PermissionError(errno.EACCES, "not allowed"),
            FileNotFoundError(errno.ENOENT, "gone"),
        ),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_image_that_cannot_be_read_costs_itself_whatever_it_raises(generation, error):
    generation.files.captions = Broken(generation.files.captions, "photo-3", error)
    generation.run(generation.files.names)
    assert (generation.counts["made"], generation.counts["failed"]) == (5, 1)
    assert list(listed(generation.store)) == ["photo-3"]
    assert listed(generation.store)["photo-3"]  # an error without a message is named by its kind


@pytest.mark.parametrize("error", [OSError(errno.EIO, "disk"), OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_what_is_wrong_with_the_system_ends_the_run(generation, error):
    generation.files.captions = Broken(generation.files.captions, "photo-3", error)
    with pytest.raises(type(error)):
        generation.run(generation.files.names)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory"),
        *(MemoryError(), IndexError("index"), torch.OutOfMemoryError("CUDA out of memory"), TypeError("type")),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.filterwarnings("ignore:.*does not hold a batch of")
def test_an_image_that_cannot_be_edited_costs_itself_whatever_it_raises(data, tmp_path, sd1_folder, error):
    PIL.Image.new("RGB", (40, 32)).save(data / "images" / "train" / "photo-4.png")
    editor = SaliencyEditor.from_pretrained(str(sd1_folder), config=EditConfig(batch_size=4))

    def fail_on_black(module, inputs):
        if (inputs[0] == -1).flatten(1).all(1).any():
            raise error

    editor.model.vae.encoder.register_forward_pre_hook(fail_on_black)
    generation = Generation(editor, EditStore(tmp_path / "store"), SaliencyFolder(data), (Contrast(1.5),))
    generation.run(generation.files.names)
    assert (generation.counts["made"], generation.counts["failed"]) == (5, 1)
    assert list(listed(generation.store)) == ["photo-4"]
    assert not any((generation.store.folder / "claims").iterdir())


def test_a_caption_with_a_lone_surrogate_is_edited(generation, data):
    (data / "captions.json").write_text('{"photo-0": "a dog \\ud83d on the street", "photo-1": "\\udfff"}')
    generation.files = SaliencyFolder(data)
    generation.run(generation.files.names)
    assert generation.counts["made"] == 6
    (edit,) = generation.store.find("photo-0")
    assert generation.store.read(edit.path).metadata["prompt"] == "a dog \ufffd on the street"


def test_an_image_whose_edit_cannot_be_stored_costs_itself(generation, data):
    """A caption that no record's header holds, and a folder where a record should be."""
    captions = dict(generation.files.captions)
    captions["photo-2"] = "a dog " * 200_000
    (data / "captions.json").write_text(json.dumps(captions))
    generation.files = SaliencyFolder(data)
    ((_, job),) = generation.jobs(["photo-4"])
    generation.store.path(next(iter(job.wanted[0]))).mkdir(parents=True)
    generation.run(generation.files.names)
    assert (generation.counts["made"], generation.counts["failed"]) == (4, 2)
    errors = listed(generation.store)
    assert sorted(errors) == ["photo-2", "photo-4"]
    assert "`prompt`" in errors["photo-2"]
    assert not any((generation.store.folder / "claims").iterdir())


def test_file_names_that_are_not_utf_8_are_edited_and_listed(generation, data):
    names = [os.fsdecode(name) for name in (b"caf\xe9.png", b"\xff\xfe.png", b"bad\x80.png")]
    for kind in ("images", "maps"):
        for n, name in enumerate(names):
            shutil.copy(data / kind / "train" / f"photo-{n}.png", data / kind / "train" / name)
    (data / "images" / "train" / names[2]).write_bytes(b"no image")
    generation.files = SaliencyFolder(data)
    generation.run(generation.files.names)
    assert generation.counts["failed"] == 1
    assert list(listed(generation.store)) == ["bad\\udc80"]  # as it can be printed
    # Two each: the copies have the pixels of photo-0 and photo-1, and no caption.
    assert len(generation.store.find("caf\udce9")) == len(generation.store.find("\udcff\udcfe")) == 2


def test_a_run_over_a_finished_store_changes_nothing_in_it(generation, data):
    (data / "images" / "train" / "photo-1.png").write_bytes(b"no image")
    generation.run(generation.files.names)
    before = {path: path.lstat().st_mtime_ns for path in generation.store.folder.rglob("*")}
    generation.run(generation.files.names)
    assert generation.counts["reused"] == 5
    assert {path: path.lstat().st_mtime_ns for path in generation.store.folder.rglob("*")} == before


@pytest.mark.skipif(not IS_ROOT, reason="becoming another user needs root")
def test_a_finished_store_that_cannot_be_written_to_is_finished(generation, data):
    generation.run(generation.files.names)
    assert generation.claims.take("photo-2")  # a killed process left it
    open_the_way(generation.store.folder)
    open_the_way(data)
    with another_user():
        generation.run(generation.files.names)
    assert generation.counts == {"made": 6, "reused": 6}


def test_what_a_killed_process_left_on_a_finished_image_is_deleted(generation):
    generation.run(generation.files.names)
    assert generation.claims.take("photo-2")
    generation.failures.note("photo-2", generation.files.images["photo-2"], ValueError("out of memory"))
    generation.run(generation.files.names)
    assert not any((generation.store.folder / "claims").iterdir())
    assert not (generation.store.folder / "failures.jsonl").exists()


def test_an_estimate_of_a_new_store_leaves_nothing_on_disk(generation):
    found = estimate(generation, generation.files.names)
    assert found.edits == 6
    assert not generation.store.folder.exists()


def test_an_estimate_is_made_from_the_images_that_can_be_edited(generation, data):
    """The second of three has a caption that no record holds; the fourth is no image."""
    (data / "images" / "train" / "photo-3.png").write_bytes(b"no image")
    captions = {**generation.files.captions, "photo-1": "a dog " * 200_000}
    (data / "captions.json").write_text(json.dumps(captions))
    generation.files = SaliencyFolder(data)
    found = estimate(generation, generation.files.names)
    assert (found.images, found.edits) == (5, 5)
    assert found.bytes > 5 * 1000
    with pytest.raises(RuntimeError, match="None of the 1 images that were tried"):
        estimate(generation, ["photo-1"])
    assert not generation.store.folder.exists()


def test_foreign_names_among_claims_and_failures_are_skipped(generation, data):
    (data / "images" / "train" / "photo-1.png").write_bytes(b"no image")
    for folder in ("failures", "claims"):
        (generation.store.folder / folder / "@eaDir").mkdir(parents=True)
        (generation.store.folder / folder / ".DS_Store").write_bytes(b"\0\xff")
        (generation.store.folder / folder / "Thumbs.db").write_bytes(b"\xd0\xcf")
    (generation.store.folder / "failures" / ("ab" * 16)).write_bytes(b"[" * 10**5)
    (generation.store.folder / "failures" / ("cd" * 16)).symlink_to("/etc/hostname")
    (generation.store.folder / "failures" / ("ef" * 16)).mkdir()
    os.mkfifo(generation.store.folder / "failures" / ("12" * 16))
    generation.run(generation.files.names)
    assert generation.counts["made"] == 5
    assert list(listed(generation.store)) == ["photo-1"]
    assert (generation.store.folder / "claims" / ".DS_Store").exists()


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/null")])
def test_what_is_no_claim_delays_nothing(tmp_path, make):
    claims = Claims(tmp_path)
    assert claims.take("other")
    make(claims._path("photo"))
    assert claims.take("photo")
    assert claims.stamp("photo") is None
    claims.release("photo")
    assert os.path.lexists(claims._path("photo"))


@pytest.mark.parametrize("name", ["claims", "failures"])
def test_claims_and_failures_are_not_written_through_a_link(generation, tmp_path, name):
    (tmp_path / "elsewhere").mkdir()
    generation.store.folder.mkdir()
    (generation.store.folder / name).symlink_to(tmp_path / "elsewhere")
    Failures(generation.store.folder).write_table()
    with pytest.raises(NotADirectoryError, match="no link"):
        Claims(generation.store.folder).take("a") and Failures(generation.store.folder).note(
            "a", tmp_path, ValueError()
        )
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_images_are_read_ahead_within_a_bound_on_memory(data, tmp_path, monkeypatch):
    """Six images of 1,280 pixels of 7 bytes each, 8,960 in all: 20,000 bytes are three images."""
    monkeypatch.setattr(jobs, "AHEAD", 20_000)
    files, read = SaliencyFolder(data), []
    reader = JobReader(files, (Contrast(1.5),), 0, {}, 6, KnownFiles(tmp_path), is_finished=lambda image: False)
    original = reader.read
    object.__setattr__(reader, "read", lambda name: read.append(name) or original(name))
    walk = reader.read_all(files.names)
    for taken in range(1, 7):
        _, job = next(walk)
        assert job.bytes == 8960
        assert len(read) <= taken + 3
    walk.close()


def test_a_batch_ends_where_its_images_are_large(generation, monkeypatch):
    """Two images of 8,960 bytes reach 10,000, so six images are three batches and not one."""
    monkeypatch.setattr(module, "BATCH", 10_000)
    sizes = [len(batch) for batch in generation._batches(generation.files.names, [], lambda: None)]
    assert sizes == [2, 2, 2]


def test_a_damaged_header_does_not_stop_reading_ahead(generation, data):
    for n, content in ((0, b""), (1, b"\x89PNG\r\n\x1a\n" + bytes(30)), (2, b"%!PS-Adobe-3.0 EPSF-3.0\n")):
        (data / "images" / "train" / f"photo-{n}.png").write_bytes(content)
    generation.run(generation.files.names)
    assert (generation.counts["made"], generation.counts["failed"]) == (3, 3)
    assert sorted(listed(generation.store)) == ["photo-0", "photo-1", "photo-2"]
