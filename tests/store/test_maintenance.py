import os
import tarfile

import pytest
from helpers.records import filled, picture

from augsal_transforms import EditStore
from augsal_transforms.generate.claims import Claims
from augsal_transforms.store import maintenance
from augsal_transforms.store.maintenance import collect_garbage, damaged_records, pack, repair, statistics


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
        **{"raised": 0, "rise": None, "not_raised": 0},
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


def test_ages_are_measured_by_the_clock_of_the_disk(store, monkeypatch):
    """This machine's clock is two hours ahead, then two hours behind."""
    young = next(store.records()).with_name("contrast-0123456789abcdef.incomplete")
    old = young.with_name("contrast-fedcba9876543210.incomplete")
    young.write_bytes(b"half")
    old.write_bytes(b"half")
    os.utime(old, (young.stat().st_mtime - 4000,) * 2)
    for hours in (2, -2):
        monkeypatch.setattr("time.time", lambda hours=hours: young.stat().st_mtime + 3600 * hours)
        assert collect_garbage(store, minutes=90) == 0
    assert collect_garbage(store) == 1
    assert young.exists()
    assert not old.exists()


@pytest.mark.parametrize("minutes", [-1, float("nan"), float("inf")])
def test_an_age_that_is_none_is_refused(store, minutes):
    with pytest.raises(ValueError, match="`minutes` must be 0 or more"):
        collect_garbage(store, minutes=minutes)


def test_a_pack_that_was_cut_off_is_done_again_by_the_same_call(store, tmp_path, monkeypatch):
    out, whole = tmp_path / "tars", tmp_path / "whole"
    expected = [shard.read_bytes() for shard in pack(store, whole, shard_bytes=1)]
    read, left = maintenance.read_file, [6]

    def killed(path, limit):
        left[0] -= path.suffix == ".safetensors"
        if not left[0]:
            raise KeyboardInterrupt
        return read(path, limit)

    monkeypatch.setattr(maintenance, "read_file", killed)
    with pytest.raises(KeyboardInterrupt):
        pack(store, out, shard_bytes=1)
    monkeypatch.setattr(maintenance, "read_file", read)
    assert [path.name for path in sorted(out.glob("*.tar"))] == ["edits-000000.tar"]  # whole, the second is absent
    assert [shard.read_bytes() for shard in pack(store, out, shard_bytes=1)] == expected
    assert sorted(path.name for path in out.iterdir()) == ["edits-000000.tar", "edits-000001.tar"]
    with pytest.raises(FileExistsError, match=r"edits-000000\.tar already"):
        pack(store, out)


def test_a_pack_replaces_no_file_that_it_did_not_begin(store, tmp_path):
    out = tmp_path / "tars"
    out.mkdir()
    (out / "edits.unfinished").write_text('["edits-000000.tar", "../../precious", 3]')
    (out / "edits-000007.tar").write_bytes(b"another one's")
    with pytest.raises(FileExistsError, match=r"edits-000007\.tar already"):
        pack(store, out)
    (out / "edits-000007.tar").unlink()
    (tmp_path / "precious").write_bytes(b"kept")
    (out / "edits-000000.tar").symlink_to(tmp_path / "precious")
    assert len(pack(store, out)) == 1
    assert (tmp_path / "precious").read_bytes() == b"kept"
    assert not (out / "edits-000000.tar").is_symlink()


def test_a_record_that_shares_its_content_with_another_file_is_packed_whole(store, tmp_path):
    first, second, *_ = store.records()
    content = first.read_bytes()
    second.unlink()
    second.hardlink_to(first)
    (shard,) = pack(store, tmp_path / "tars")
    with tarfile.open(shard) as tar:
        members = tar.getmembers()
        assert all(member.isreg() for member in members)
        assert tar.extractfile(members[1]).read() == content
    with pytest.raises(ValueError, match="`shard_bytes` must be 1 or more"):
        pack(store, tmp_path / "more", shard_bytes=0)
