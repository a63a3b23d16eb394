"""Edits are found by a fast hash of the original's pixels, and put on no other image, whatever a store says."""

import os
import shutil

import pytest
import torch
from helpers.record_parts import as_webp
from helpers.records import EDITS, edited, filled, key_of, picture
from helpers.samples import scene, scene_image

from augsal_transforms import EditStore, SaliencyDiffusionAugment
from augsal_transforms.store.fast_names import FOLDER, find_name
from augsal_transforms.store.keys import fast_hash, image_hash
from augsal_transforms.store.maintenance import collect_garbage, repair


@pytest.fixture
def store(tmp_path):
    return filled(EditStore(tmp_path / "store"), count=3)


def index_of(store, number):
    name = fast_hash(picture(number))
    return store.folder / FOLDER / name[:2] / name


def make_old(store):
    """Write the records as they were before they had a fast hash, and delete the index."""
    for path in store.records():
        path.write_bytes(as_webp(path.read_bytes()))
    shutil.rmtree(store.folder / FOLDER)


def forbid_sha(monkeypatch):
    def refuse(image):
        raise AssertionError("SHA-256 of the pixels was computed")

    for module in ("store", "records"):
        monkeypatch.setattr(f"augsal_transforms.store.{module}.image_hash", refuse)


def test_an_image_has_one_fast_hash_in_any_memory_order_and_as_bytes_and_floats():
    image = picture(size=(24, 40))
    decoded = image.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    hashes = {fast_hash(one) for one in (image, decoded, image / 255, decoded / 255, (image / 255).double())}
    hashes |= {fast_hash(image.transpose(1, 2).contiguous().transpose(1, 2)), fast_hash(picture(size=(24, 40)))}
    assert len(hashes) == 1
    others = [image.clone() for _ in range(3)]
    others[0][0, 0, 0] ^= 1
    others[1][2, -1, -1] ^= 128
    others[2] = image.reshape(3, 40, 24)
    assert len(hashes | {fast_hash(one) for one in others}) == 4


def test_the_fast_hash_never_changes_by_accident():
    """A changed hash makes readers of every store compute SHA-256 again."""
    assert fast_hash(torch.arange(24, dtype=torch.uint8).reshape(3, 2, 4)) == "1408cc0cd847f7712564923431dad268"


def test_edits_are_found_and_put_on_without_sha(store, monkeypatch):
    forbid_sha(monkeypatch)
    for image in (picture(1), picture(1) / 255):
        edits = store.edits_of(image)
        assert [edit.kind for edit in edits] == ["brightness", "brightness", "color", "contrast"]
        for edit, drawn in zip(edits, [EDITS[2], EDITS[1], EDITS[3], EDITS[0]], strict=True):
            expected = edited(picture(1), drawn).image
            assert torch.equal(edit.load().image, expected if image.dtype == torch.uint8 else expected / 255)
        assert [edit.path for edit in store.list_edits(image)] == [edit.path for edit in edits]


def test_an_old_store_is_found_by_sha_and_its_edits_are_checked_by_it(store, monkeypatch):
    make_old(store)
    assert len(store.edits_of(picture(1))) == store.rebuild_index() / 3 == 4
    assert not (store.folder / FOLDER).exists()
    store.put(key_of(picture(1), EDITS[0]), picture(1), edited(picture(1), EDITS[0]))  # one new record among old ones
    edits = store.edits_of(picture(1))
    assert [len(edit.known_hash) for edit in edits] == [32] * 4
    assert [edit.load().kind for edit in edits] == ["brightness", "brightness", "color", "contrast"]
    old = store.read(edits[0].path)
    for known in (None, fast_hash(picture(2)), image_hash(picture(2))):
        with pytest.raises(ValueError, match="is not the image this edit was made from"):
            old.onto(picture(2), known_hash=known)
    forbid_sha(monkeypatch)
    assert edits[3].load().kind == "contrast"
    with pytest.raises(AssertionError, match="SHA-256"):
        edits[0].load()


def spoil(what):
    def change(path, outside):
        path.unlink()
        if what == "a link":
            outside.write_text(image_hash(picture(1)))
            path.symlink_to(outside)
        elif what == "a pipe":
            os.mkfifo(path)
        elif what == "a folder":
            path.mkdir()
        else:
            path.write_bytes(what)

    return change


SPOILED = {
    **{
        "empty": spoil(b""),
        "half": spoil(b"ab" * 16),
        "long": spoil(b"ab" * 500_000),
        "path": spoil(b"../" * 21 + b"a"),
    },
    **{"not text": spoil(b"\xff" * 64), "absent": spoil(b"ab" * 32), "upper case": spoil(b"AB" * 32)},
    **{what: spoil(what) for what in ("a link", "a pipe", "a folder")},
}


@pytest.mark.parametrize("name", SPOILED)
def test_a_spoiled_index_costs_time_and_no_edit(store, name, tmp_path):
    SPOILED[name](index_of(store, 0), tmp_path / "outside")
    edits = store.edits_of(picture(0))
    assert [len(edit.known_hash) for edit in edits] == [64] * 4
    assert torch.equal(edits[3].load().image, edited(picture(0), EDITS[0]).image)


@pytest.mark.parametrize("make", [make_old, lambda store: None])
def test_an_index_that_leads_to_another_image_leads_to_none_of_its_edits(store, make):
    make(store)
    path = index_of(store, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(image_hash(picture(1)))
    for edit in store.edits_of(picture(0)):
        assert edit.path.parent.name == image_hash(picture(1))
        with pytest.raises(ValueError, match="must be a record of this image"):
            edit.load()
    augment = SaliencyDiffusionAugment(store=store, p=1)
    with pytest.warns(UserWarning, match="damaged"):
        assert not augment({"image": picture(0), "saliency_map": torch.ones(1, 24, 32)})["is_edited"]
    store.put(key_of(picture(0), EDITS[0]), picture(0), edited(picture(0), EDITS[0]))
    assert {edit.path.parent.name for edit in store.edits_of(picture(0))} == {image_hash(picture(0))}


def test_the_index_is_made_again_from_the_records(store):
    paths = [index_of(store, n) for n in range(3)]
    shutil.rmtree(store.folder / FOLDER)
    assert store.rebuild_index() == 12
    assert all(path.read_text() == image_hash(picture(n)) for n, path in enumerate(paths))
    paths[1].write_text(image_hash(picture(2)))
    assert repair(store) == []
    assert find_name(store.folder, fast_hash(picture(1))) == image_hash(picture(1))


def test_an_image_costs_one_small_file_that_is_written_once(store):
    files = [path for path in (store.folder / FOLDER).rglob("*") if path.is_file()]
    assert sorted(files) == sorted(index_of(store, n) for n in range(3))
    assert all(path.stat().st_size == 64 for path in files)
    before = [path.stat().st_mtime_ns for path in files]
    store.put(key_of(picture(0), EDITS[0]), picture(0), edited(picture(0), EDITS[0]))
    assert [path.stat().st_mtime_ns for path in files] == before


def test_files_of_killed_writers_are_no_names_and_are_deleted(store):
    left = index_of(store, 0).with_name(f"{fast_hash(picture(0))}-0123456789abcdef.incomplete")
    left.write_text("ab")
    (store.folder / FOLDER / ".DS_Store").write_bytes(b"\0")
    assert len(store.edits_of(picture(0))) == 4
    assert collect_garbage(store, minutes=0) == 1
    assert not left.exists()
    assert index_of(store, 0).exists()


def test_nothing_is_read_or_written_through_a_link(store, tmp_path):
    (store.folder / FOLDER).rename(tmp_path / "outside")
    (store.folder / FOLDER).symlink_to(tmp_path / "outside")
    before = sorted((tmp_path / "outside").rglob("*"))
    assert find_name(store.folder, fast_hash(picture(0))) == ""
    assert [edit.load().kind for edit in store.edits_of(picture(0))] == [
        "brightness",
        "brightness",
        "color",
        "contrast",
    ]
    with pytest.raises(NotADirectoryError, match="must be a folder and no link"):
        store.put(key_of(picture(7), EDITS[0]), picture(7), edited(picture(7), EDITS[0]))
    assert sorted((tmp_path / "outside").rglob("*")) == before


def test_samples_are_the_same_to_the_bit_from_new_and_old_records_with_and_without_the_index(tmp_path):
    store = filled(EditStore(tmp_path / "indexed"), 4, stem="scene-{}", draw=scene_image)
    plain, old = (EditStore(shutil.copytree(store.folder, tmp_path / name)) for name in ("plain", "old"))
    shutil.rmtree(plain.folder / FOLDER)
    make_old(old)
    augments = [SaliencyDiffusionAugment(store=one.folder, p=0.8, seed=5) for one in (store, plain, old)]
    kinds = set()
    for epoch in range(3):
        for n in range(4):
            for augment in augments:
                augment.set_epoch(epoch)
            expected, *others = (augment(scene(n)) for augment in augments)
            kinds.add((expected["edit_kind"], float(expected["edit_alpha"])))
            for sample in others:
                assert sample.keys() == expected.keys()
                for name, value in expected.items():
                    assert torch.equal(value, sample[name]) if torch.is_tensor(value) else value == sample[name]
    assert len(kinds) == 5
