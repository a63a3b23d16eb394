"""Links, pipes, folders and foreign names in a store; names that are not UTF-8; a store without edits."""

import os
import tarfile

import pytest
from helpers.records import EDITS, edited, filled, key_of, picture

from augsal_transforms import Contrast, EditStore
from augsal_transforms.store.keys import EditKey
from augsal_transforms.store.maintenance import collect_garbage, damaged_records, pack, repair, statistics


@pytest.fixture
def store(tmp_path):
    return filled(EditStore(tmp_path / "store"))


@pytest.fixture
def outside(tmp_path):
    """A folder outside of the store with a whole store in it, whose files are old."""
    other = filled(EditStore(tmp_path / "outside"), count=3, stem="other-{}")
    leftover = next(other.records()).with_name("contrast+1500-0123456789abcdef.incomplete")
    for path in (leftover, other.folder / ("ab" * 16), other.folder / "photo-0123456789abcdef.incomplete"):
        path.write_bytes(b"precious")
    for path in other.folder.rglob("*"):
        os.utime(path, (0, 0))
    return other.folder


def tree(folder):
    return {path: path.lstat().st_mtime_ns for path in folder.rglob("*")}


def shard_of(store, number):
    return store.path(key_of(picture(number), EDITS[0])).parent.parent


def link_a_shard(store, outside):
    (store.folder / "v1" / shard_of(store, 2).name).symlink_to(outside / "v1" / shard_of(store, 2).name)


def link_an_image(store, outside):
    shard_of(store, 2).mkdir(exist_ok=True)
    folder = store.path(key_of(picture(2), EDITS[0])).parent
    folder.symlink_to(outside / folder.relative_to(store.folder))


def link_records(store, outside):
    for record in EditStore(outside).list_edits(picture(2)):
        path = store.folder / record.path.relative_to(outside)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(record.path)


def link_the_root(store, outside):
    (store.folder / "claims").symlink_to(outside)
    (store.folder / "failures").symlink_to(outside)
    (store.folder / "stems").rename(store.folder / "before")
    (store.folder / "stems").symlink_to(outside / "stems")


LINKS = [link_a_shard, link_an_image, link_records, link_the_root]


@pytest.mark.parametrize("link", LINKS)
def test_no_link_leads_out_of_a_store(store, outside, link, tmp_path):
    link(store, outside)
    before = tree(outside)
    assert collect_garbage(store, minutes=0) == 0
    assert list(damaged_records(store)) == []
    assert repair_or_refuse(store) == []
    assert len(list(store.records())) == statistics(store)["edits"] == 8
    assert store.list_edits(picture(2)) == store.edits_of(picture(2)) == store.find("other-2") == []
    (packed,) = pack(store, tmp_path / "tars")
    with tarfile.open(packed) as tar:
        assert len(tar.getnames()) == 8
        assert all(member.isreg() for member in tar)
    assert tree(outside) == before


def repair_or_refuse(store):
    try:
        return repair(store)
    except NotADirectoryError:  # the index would be written through a link
        assert (store.folder / "stems").is_symlink()
        return []


@pytest.mark.parametrize("link", [link_a_shard, link_an_image])
def test_nothing_is_written_through_a_link(store, outside, link):
    link(store, outside)
    before = tree(outside)
    with pytest.raises(NotADirectoryError, match="must be a folder and no link"):
        store.put(key_of(picture(2), Contrast(3)), picture(2), edited(picture(2), Contrast(3)))
    assert tree(outside) == before


def test_a_link_in_a_records_place_is_replaced_and_its_target_kept(store, outside):
    link_records(store, outside)
    before = tree(outside)
    key = key_of(picture(2), EDITS[0])
    assert key not in store
    store.put(key, picture(2), edited(picture(2), EDITS[0]))
    assert key in store
    assert tree(outside) == before


def test_a_store_may_be_reached_by_a_link_itself(store, tmp_path):
    (tmp_path / "scratch").symlink_to(store.folder)
    linked = EditStore(tmp_path / "scratch")
    assert len(linked.edits_of(picture(0))) == 4
    linked.put(key_of(picture(3), EDITS[0]), picture(3), edited(picture(3), EDITS[0]))
    assert len(store.edits_of(picture(3))) == 1


def test_pipes_folders_and_devices_are_no_records(store, tmp_path):
    good = next(store.records())
    os.mkfifo(good.with_name("contrast+2000-0123456789abcdef.safetensors"))
    good.with_name("contrast+2001-0123456789abcdef.safetensors").mkdir()
    good.with_name("contrast+2002-0123456789abcdef.safetensors").symlink_to("/dev/zero")
    os.mkfifo(good.with_name("contrast-0123456789abcdef.incomplete"))
    assert len(list(store.records())) == 8
    assert list(damaged_records(store)) == []
    assert collect_garbage(store, minutes=0) == 0
    assert statistics(store)["edits"] == 8
    for name in ("contrast+2000", "contrast+2001", "contrast+2002"):
        assert store.read(good.with_name(f"{name}-0123456789abcdef.safetensors")) is None  # and does not wait
    assert len(pack(store, tmp_path / "tars")) == 1


def test_foreign_names_are_skipped_wherever_they_are(store, tmp_path):
    image = next(store.records()).parent
    for folder in (store.folder, store.folder / "v1", image.parent, image, store.folder / "stems"):
        (folder / ".DS_Store").write_bytes(b"\0")
        (folder / "Thumbs.db").write_bytes(b"\0")
        (folder / "@eaDir").mkdir()
        (folder / "@eaDir" / "contrast+1500-0123456789abcdef.safetensors").write_bytes(b"\0")
        (folder / "notes.incomplete").write_bytes(b"mine")
    image.with_name("ef" * 32).write_bytes(b"a file where a folder is meant")
    before = tree(store.folder)
    assert len(list(store.records())) == 8
    assert list(damaged_records(store)) == []
    assert collect_garbage(store, minutes=0) == 0
    assert len(store.find("photo-0")) == 4
    assert len(pack(store, tmp_path / "tars")) == 1
    assert store.rebuild_index() == 8
    assert tree(store.folder).keys() == before.keys()


def test_stems_that_are_no_image_hashes_lead_nowhere(store, tmp_path):
    marker = next((store.folder / "stems").glob("*/*"))
    for name in ("..", "../../../outside", "zz" * 32, ""):
        path = marker.with_name(marker.name[:33] + name.replace("/", "\u2215"))
        path.touch()
    assert len(store.find("photo-0")) + len(store.find("photo-1")) == 8
    assert store.list_edits("../../..") == []


def test_names_that_are_not_utf_8_are_stems_like_others(store):
    name = os.fsdecode(b"caf\xe9-\xff")
    for stem in (name, "\ud800", "caf\u00e9"):
        store.put(key_of(picture(5), EDITS[0]), picture(5), edited(picture(5), EDITS[0]), source=stem)
        assert len(store.find(stem)) == 1
        assert store.edits_of(picture(5))[0].load().kind == "contrast"
        assert store.get(key_of(picture(5), EDITS[0])).metadata["source"] == stem
    assert store.rebuild_index() == 9
    assert key_of(picture(5), EDITS[0], prompt="\ud800").digest() != key_of(picture(5), EDITS[0], prompt="?").digest()


def test_a_store_without_edits_is_refused_when_it_is_opened_for_reading(tmp_path):
    for make in (
        lambda folder: None,
        lambda folder: folder.mkdir(),
        lambda folder: (folder / "v1" / "ab").mkdir(parents=True),
    ):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        make(folder)
        with pytest.raises(FileNotFoundError, match="augsal generate --data DATA --store"):
            EditStore(folder, readonly=True)
        with pytest.raises(FileNotFoundError, match="There is no"):
            EditStore(folder).require_edits()
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(FileNotFoundError, match="no store of edits"):
        EditStore(file, readonly=True)


def test_opening_a_store_for_writing_leaves_nothing_on_disk(tmp_path):
    EditStore(tmp_path / "store")
    assert list(tmp_path.iterdir()) == []


def test_a_kind_that_is_new_is_found_again(store):
    """Kind and colour are read from the name, whatever they are called."""
    original = picture(6)
    for kind, color in (("blur", ""), ("de_haze2", ""), ("tint", "dark_teal"), ("tint", "")):
        given = vars(key_of(original, EDITS[0]))
        key = EditKey(**{**given, "kind": kind, "color": color, "alpha": -12})
        import dataclasses

        result = dataclasses.replace(edited(original, EDITS[0]), kind=kind, color=color, alpha=-0.012)
        store.put(key, original, result)
        assert store.get(key).onto(original).kind == kind
    edits = [(edit.kind, edit.color, edit.alpha) for edit in store.edits_of(original)]
    assert edits == [
        ("blur", "", -0.012),
        ("de_haze2", "", -0.012),
        ("tint", "", -0.012),
        ("tint", "dark_teal", -0.012),
    ]
    assert statistics(store)["kinds"]["tint"] == 2
    assert len(list(store.records())) == 12


def test_one_edit_of_many_is_read_when_it_is_drawn(store):
    edits = store.edits_of(picture(0))
    assert edits == store.edits_of(picture(0))  # by what they are, without a look at their pixels
    for edit in edits[1:]:
        edit.path.write_bytes(b"damaged")
    assert edits[0].load().kind == "brightness"
    with pytest.raises(ValueError, match="damaged"):
        edits[1].load()
    edits[2].path.unlink()
    with pytest.raises(ValueError, match=r"No such file.*augsal generate"):
        edits[2].load()
