import os
import tarfile

import pytest
from helpers.records import filled, picture

from augsal_transforms import EditStore
from augsal_transforms.generate.claims import Claims
from augsal_transforms.store.maintenance import collect_garbage, damaged_records, repair, statistics
from augsal_transforms.store.packing import pack


@pytest.fixture
def store(tmp_path):
    return filled(EditStore(tmp_path / "store"))


def test_damaged_records_are_found_and_repair_deletes_them_and_indexes_the_rest(store):
    bad = sorted(store.records())[2]
    content = bytearray(bad.read_bytes())
    content[-3] ^= 4
    bad.write_bytes(content)
    for marker in (store.folder / "stems").glob("*/*"):
        marker.unlink()
    assert list(damaged_records(store)) == [bad]
    assert repair(store) == [bad]
    assert list(damaged_records(store)) == []
    assert len(store.find("photo-0")) + len(store.find("photo-1")) == 7


def test_garbage_is_what_is_old_and_no_record(store):
    Claims(store.folder).take("photo-9")
    leftover = next(store.records()).with_name("contrast-0123456789abcdef.incomplete")
    leftover.write_bytes(b"half")
    assert collect_garbage(store) == 0
    os.utime(leftover, (0, 0))
    assert collect_garbage(store) == 1
    assert collect_garbage(store, minutes=0) == 1  # the claim
    assert len(list(store.records())) == 8


def test_statistics_count_what_is_held(store):
    found = statistics(store)
    assert (found["edits"], found["images"]) == (8, 2)
    assert found["kinds"] == {"brightness": 4, "color": 2, "contrast": 2}
    assert found["words"] == {"dog": 8}
    assert found["bound_by"] == {"brightness": 8}
    assert found["strength"] == 0.8125
    assert found["bytes"] == sum(path.stat().st_size for path in store.records())


def test_an_empty_store_has_statistics(tmp_path):
    assert statistics(EditStore(tmp_path / "empty")) == {
        **{"edits": 0, "images": 0, "bytes": 0, "strength": None},
        **{"kinds": {}, "words": {}, "bound_by": {}},
    }


def test_a_packed_store_unpacks_to_the_same_store(store, tmp_path):
    shards = pack(store, tmp_path / "tars", shard_bytes=1)
    assert [shard.name for shard in shards] == ["edits-000000.tar", "edits-000001.tar"]  # an image stays together
    for shard in shards:
        with tarfile.open(shard) as tar:
            tar.extractall(tmp_path / "unpacked", filter="data")
    unpacked = EditStore(tmp_path / "unpacked")
    assert unpacked.rebuild_index() == 8
    assert [edit.path.name for edit in unpacked.find("photo-1")] == [edit.path.name for edit in store.find("photo-1")]
    assert unpacked.read(unpacked.list_edits(picture(0))[0].path).onto(picture(0)).word == "dog"
    with pytest.raises(FileExistsError, match="already"):
        pack(store, tmp_path / "tars")
