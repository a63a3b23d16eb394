"""Records that a stranger wrote, with a correct checksum."""

import dataclasses
import json
import random
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import zstandard
from helpers.record_parts import as_webp, put_together, take_apart, to_webp
from helpers.records import EDITS, edited, key_of, picture

from augsal_transforms import EditStore
from augsal_transforms.files import parse_json
from augsal_transforms.store.keys import EditKey
from augsal_transforms.store.maintenance import damaged_records, repair, statistics
from augsal_transforms.store.records import decode, encode, read_metadata
from augsal_transforms.store.rectangle import compress, decompress

ORIGINAL, EDIT = picture(), EDITS[0]
RECORD = encode(key_of(ORIGINAL, EDIT), ORIGINAL, edited(ORIGINAL, EDIT), source="photo")
RECORDS = {"zstd": RECORD, "webp": as_webp(RECORD)}
forms = pytest.mark.parametrize("form", RECORDS)


def parts_of(form):
    """Metadata, content, shapes, and the checksum of its form."""
    return *take_apart(RECORDS[form]), {"zstd": "xxh3_128", "webp": "sha256"}[form]


def bomb(form, height, width):
    """A rectangle whose header says height × width; a decoder takes the memory for them before it reads on."""
    content = bytearray(parts_of(form)[1]["rectangle"])
    if form == "zstd":  # a frame of one segment, with its size in 8 bytes, and the first block of another
        return b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", 4 * height * width) + bytes(content[8:])
    bits = struct.unpack_from("<I", content, 21)[0] >> 28 << 28
    struct.pack_into("<I", content, 21, bits | (height - 1) << 14 | (width - 1))
    return bytes(content)


NASTY = [
    *(
        None,
        True,
        False,
        -1,
        2**63,
        10**400,
        0.5,
        float("nan"),
        float("inf"),
        "",
        "a" * 5000,
        "\ud800",
        "../../x",
        "\0",
    ),
    *(
        [],
        [1],
        [-1, -1],
        [2**40, 2**40],
        [0.5, 1],
        [True, True],
        ["1", "2"],
        [[[]]],
        {},
        {"a": {"b": 1}},
        [0, 9],
        [9, 0],
    ),
]


def variants(count):
    """Records each of which has one to three fields of another value, or is of another form."""
    draw = random.Random(0)
    fields = sorted(take_apart(RECORD)[0].keys() - {"about", "prompt", "source", "word", "bound_by", "editor", "seed"})
    for _ in range(count):
        metadata, content, shapes = take_apart(RECORD)
        for field in draw.sample(fields, draw.randint(1, 3)):
            value = draw.choice(NASTY)
            if draw.random() < 0.2:
                del metadata[field]
            elif metadata[field] != value:
                metadata[field] = value
        yield put_together(metadata, content, shapes)


def malformed():
    metadata, content, shapes = take_apart(RECORD)
    whole = (metadata, content, shapes)
    yield "nested JSON", put_together('{"a":' * 100_000 + "1" + "}" * 100_000, content, shapes)
    yield (
        "nested editor",
        put_together(
            json.dumps(metadata).replace('"editor": {', '"editor": {"x": ' + "[" * 900 + "]" * 900 + ", "),
            content,
            shapes,
        ),
    )
    yield "no object", put_together("[]", content, shapes)
    yield "a number", put_together("7", content, shapes)
    yield "infinity", put_together({**metadata, "strength": 1e999}, content, shapes)
    yield "a large float", put_together(json.dumps(metadata).replace("0.8125", "1e999"), content, shapes)
    yield "another kind of header", put_together(*whole, change=lambda header: header.update(__metadata__=[]))
    yield (
        "metadata of numbers",
        put_together(*whole, change=lambda header: header.update(__metadata__={"record": 1, "xxh3_128": 2})),
    )
    yield (
        "a third tensor",
        put_together(
            *whole, change=lambda header: header.update(more={"dtype": "U8", "shape": [0], "data_offsets": [0, 0]})
        ),
    )
    for name, entry in (
        ("offsets beyond the file", {"data_offsets": [0, 10**12]}),
        ("negative offsets", {"data_offsets": [-64, 0]}),
        ("three offsets", {"data_offsets": [0, 1, 2]}),
        ("offsets of text", {"data_offsets": "ab"}),
        ("a huge shape", {"shape": [1, 2**40, 2**40]}),
        ("a negative shape", {"shape": [-1, -4, 4]}),
        ("a shape of another size", {"shape": [1, 4, 5]}),
        ("a shape of floats", {"shape": [1.0, 4, 4]}),
        ("a shape of 100,000 sides", {"shape": [1] * 100_000}),
        ("a shape of 100,000 long sides", {"shape": [60] * 100_000}),
        ("a shape that is a table", {"shape": {"1": 1, "4": 4}}),
        ("a shape that is text", {"shape": "144"}),
        ("another type", {"dtype": "F64"}),
        ("no type", {"dtype": None}),
    ):
        yield name, put_together(*whole, change=lambda header, entry=entry: header["region"].update(entry))
    for name, region, shape in (
        ("a flat region", content["region"], [16]),
        ("an empty region", b"", [1, 0, 4]),
        ("a region of NaN", struct.pack("<4f", *[float("nan")] * 4), [1, 2, 2]),
        ("a long region", bytes(4 * 2000), [1, 1, 2000]),
    ):
        yield name, put_together(metadata, {**content, "region": region}, {**shapes, "region": shape})
    yield "no checksum", put_together(*whole, change=lambda header: header["__metadata__"].pop("xxh3_128"))
    yield (
        "another checksum",
        put_together(*whole, change=lambda header: header["__metadata__"].update(sha256="0" * 64, xxh3_128="")),
    )
    yield "a header of gigabytes", struct.pack("<Q", 2**40) + RECORD[8:]
    yield "a header longer than the file", struct.pack("<Q", len(RECORD)) + RECORD[8:]
    yield "nothing", b""
    yield "seven bytes", RECORD[:7]


def malformed_rectangles(form):
    metadata, content, shapes, checksum = parts_of(form)
    picture_of = content["rectangle"]
    of_zstd = zstandard.ZstdCompressor().compress
    for name, data, size in (
        ("no picture", b"", [9, 12]),
        ("a picture without a place", picture_of, [0, 0]),
        ("a picture of another size", picture_of, [10, 12]),
        ("half a size", picture_of, [9, 0]),
        ("a PNG", b"\x89PNG\r\n\x1a\n" + bytes(40), [9, 12]),
        ("half a picture", picture_of[: len(picture_of) // 2], [9, 12]),
        ("a picture with an appendix", picture_of + b"EXIF\4\0\0\0abcd", [9, 12]),
        ("noise after a good header", picture_of[:26] + b"\xff" * 400, [9, 12]),
        ("a block of no kind after a good header", _frame(432, 432)[:-4] + b"\x07\x00\x00", [9, 12]),
        ("a bomb that says so", bomb(form, 12_000, 12_000), [12_000, 12_000]),
        ("a bomb that does not", bomb(form, 12_000, 12_000), [9, 12]),
        ("sides that no image has", picture_of, [2**20, 2**20]),
        *([("a picture that is turned", picture_of, [12, 9])] if form == "webp" else []),
        ("two frames", of_zstd(bytes(216)) + of_zstd(bytes(216)), [9, 12]),
        ("a frame of too many bytes", of_zstd(bytes(4 * 9 * 12 + 1)), [9, 12]),
        ("a frame of unknown size", zstandard.ZstdCompressor(write_content_size=False).compress(bytes(432)), [9, 12]),
        ("a frame that is longer than it says", _frame(432, 433), [9, 12]),
        ("a frame that is shorter than it says", _frame(432, 431), [9, 12]),
        ("a frame that is gigabytes longer than it says", _frame(432, 2**17, count=2**15), [9, 12]),
        ("a frame that needs a dictionary", b"\x28\xb5\x2f\xfd\x21\x07" + bytes([176]) + bytes(9), [9, 12]),
        ("no frame", b"\x28\xb5\x2f\xfd", [9, 12]),
        ("a frame to skip", b"\x50\x2a\x4d\x18" + struct.pack("<I", 432) + bytes(432), [9, 12]),
    ):
        changed = {**metadata, "size": size}, {**content, "rectangle": data}, {**shapes, "rectangle": [len(data)]}
        yield name, put_together(*changed, checksum=checksum)


def _frame(size, length, count=1):
    """A zstd frame that says its size, and has blocks each of which repeats one byte."""
    blocks = b"".join(struct.pack("<I", (n == count - 1) | 1 << 1 | length << 3)[:3] + b"\7" for n in range(count))
    return b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", size) + blocks


def test_the_frames_of_these_tests_are_frames():
    assert zstandard.ZstdDecompressor().decompress(_frame(432, 432)) == b"\7" * 432


@forms
def test_what_is_taken_apart_and_put_together_again_is_the_record(form):
    *parts, checksum = parts_of(form)
    assert decode(put_together(*parts, checksum=checksum)).metadata == decode(RECORDS[form]).metadata


MALFORMED = [
    *malformed(),
    *((f"{name} ({form})", record) for form in RECORDS for name, record in malformed_rectangles(form)),
]


@pytest.mark.parametrize(("name", "record"), MALFORMED, ids=lambda value: value if isinstance(value, str) else "")
def test_a_malformed_record_is_a_miss(name, record, tmp_path):
    assert decode(record) is None or name == "nested editor"  # which its key cannot be made of
    (tmp_path / "record").write_bytes(record)
    read_metadata(tmp_path / "record")


def test_two_hundred_hostile_records_are_misses_that_verify_names_and_change_nothing(tmp_path):
    store = EditStore(tmp_path)
    good = key_of(ORIGINAL, EDITS[1])
    store.put(good, ORIGINAL, edited(ORIGINAL, EDITS[1]))
    records = [*variants(200), *(record for _, record in MALFORMED)]
    names = set()
    for n, record in enumerate(records):
        path = store.path(good).with_name(f"contrast+1500-{n:016x}.safetensors")
        path.write_bytes(record)
        names.add(path)
    assert set(damaged_records(store)) == names
    assert statistics(store)["kinds"]["brightness"] == 1
    assert store.rebuild_index() >= 1
    for edit in store.edits_of(ORIGINAL):
        if edit.path in names:
            with pytest.raises(ValueError, match=r"damaged.*augsal verify --repair"):
                edit.load()
    assert set(repair(store)) == names
    assert [edit.load().kind for edit in store.edits_of(ORIGINAL)] == ["brightness"]


def test_a_rectangle_with_any_bytes_in_it_is_a_rectangle_of_its_size_or_refused():
    """2,000 compressed rectangles with changed, lost and added bytes, which a record's checksum would not notice."""
    rng = np.random.default_rng(0)
    mask = torch.randint(0, 256, (40, 52), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    mask[:, :9] = 0
    whole, refused = compress(torch.full((3, 40, 52), 2, dtype=torch.uint8) * (mask > 0), mask), 0
    for n in range(2000):
        data, place = bytearray(whole), int(rng.integers(len(whole) if n % 2 else 24))
        data[place : place + int(rng.integers(3))] = rng.bytes(int(rng.integers(3)))
        try:
            difference, edit_mask = decompress(bytes(data), 40, 52)
        except ValueError:
            refused += 1
        else:
            assert (difference.shape, edit_mask.shape) == ((3, 40, 52), (40, 52))
            assert not difference[:, edit_mask == 0].any()
    assert 500 < refused < 2000


@pytest.mark.parametrize("place", [[20, 5], [3, 25], [24, 32], [50_000_000, 0], [0, 2**25]])
def test_a_rectangle_outside_the_image_is_refused_and_nothing_is_resized(place):
    metadata, content, shapes = take_apart(RECORD)
    stored = decode(put_together({**metadata, "place": place}, content, shapes))
    for original in (ORIGINAL, ORIGINAL / 255):
        with pytest.raises(ValueError, match="reaches beyond its image of 24×32"):
            stored.onto(original)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64, torch.float16])
@pytest.mark.parametrize("pack", [compress, to_webp])
@pytest.mark.parametrize("channels", [[0, 1, 2], [0], [2]])
def test_pixels_outside_the_mask_never_change(dtype, pack, channels):
    """The difference is 200 everywhere, the mask covers one pixel of the rectangle."""
    metadata, content, shapes = take_apart(RECORD)
    mask, difference = torch.zeros(9, 12, dtype=torch.uint8), torch.zeros(3, 9, 12, dtype=torch.uint8)
    mask[4, 5], difference[channels] = 255, 200
    data = pack(difference, mask)
    stored = decode(put_together(metadata, {**content, "rectangle": data}, {**shapes, "rectangle": [len(data)]}))
    original = ORIGINAL if dtype == torch.uint8 else (ORIGINAL / 255).to(dtype)
    result = stored.onto(original, known_hash=metadata["image"])
    changed = (result.image != original).any(0)
    assert changed.nonzero().tolist() == [[3 + 4, 5 + 5]]
    assert torch.equal(result.edit_mask[0] > 0, changed)


def test_a_record_of_another_image_in_this_images_folder_is_a_miss(tmp_path):
    """Its name is right for its key: only its image is another one."""
    store, other = EditStore(tmp_path), picture(7)
    key = key_of(other, EDIT)
    folder = store.path(key_of(ORIGINAL, EDIT)).parent
    folder.mkdir(parents=True)
    (folder / key.filename).write_bytes(encode(key, other, edited(other, EDIT)))
    (edit,) = store.edits_of(ORIGINAL)
    with pytest.raises(ValueError, match="must be a record of this image"):
        edit.load()
    assert list(damaged_records(store)) == [edit.path]


GROWTH = """
import resource, sys, torch
from augsal_transforms import EditStore
from helpers.records import edited, picture, key_of, EDITS
from augsal_transforms.store.records import decode, encode
small = picture()
decode(encode(key_of(small, EDITS[0]), small, edited(small, EDITS[0])))  # loads what decoding needs
for folder in sys.argv[2:]:
    original = torch.load(sys.argv[1], weights_only=True)
    (edit,) = EditStore(folder).edits_of(original)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        print(edit.load().kind)
    except ValueError:
        print("none")
    print(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / original.numel())
"""


def test_reading_an_edit_takes_at_most_ten_times_the_images_memory(tmp_path):
    """In both forms: two records of an image of 2 megapixels that say they are of many more, then an edit of it all."""
    original = torch.zeros(3, 1400, 1400, dtype=torch.uint8)
    original[:, ::7, ::5] = 99
    key, names = key_of(original, EDIT), []
    record = encode(key, original, edited(original, EDIT, (0, 0, 1400, 1400)))
    for form, checksum, whole in (("zstd", "xxh3_128", record), ("webp", "sha256", as_webp(record))):
        metadata, content, shapes = take_apart(whole)
        for side in (7000, 16383):
            changed = {**content, "rectangle": bomb(form, side, side)}
            of_bomb = {**shapes, "rectangle": [len(changed["rectangle"])]}
            hostile = put_together({**metadata, "size": [side, side]}, changed, of_bomb, checksum=checksum)
            names.append(f"{form}-{side}")
            EditStore(tmp_path / names[-1]).write(key, hostile)
        names.append(form)
        EditStore(tmp_path / form).write(key, whole)
    torch.save(original, tmp_path / "original.pt")
    path = ":".join([str(Path(__file__).parents[1]), *sys.path])
    command = [sys.executable, "-c", GROWTH, *(tmp_path / name for name in ("original.pt", *names))]
    out = subprocess.run(command, check=True, capture_output=True, text=True, env={"PYTHONPATH": path}).stdout.split()
    assert out[::2] == ["none", "none", "contrast"] * 2
    assert all(float(growth) < limit for growth, limit in zip(out[1::2], (1, 1, 10) * 2, strict=True)), out


def test_the_same_edit_is_the_same_bytes_each_time():
    """safetensors writes the entries of its metadata in another order from call to call."""
    written = {encode(key_of(ORIGINAL, EDIT), ORIGINAL, edited(ORIGINAL, EDIT), source="photo") for _ in range(20)}
    assert written == {RECORD}


def test_json_of_strangers_is_refused_with_a_value_error():
    for text in ("[" * 10**5, '{"a": NaN}', "[Infinity]", b"\xff\xfe", "", "{"):
        with pytest.raises(ValueError):  # noqa: PT011 - each is another error of the parser
            parse_json(text)


def test_an_edit_that_no_record_can_hold_is_refused_when_it_is_written():
    with pytest.raises(ValueError, match="`prompt`"):
        encode(key_of(ORIGINAL, EDIT, prompt="a" * 2**20), ORIGINAL, edited(ORIGINAL, EDIT))
    for region in (
        torch.zeros(4, 4),
        torch.zeros(1, 4, 2000),
        torch.full((1, 2, 2), float("nan")),
        torch.zeros(1, 0, 0),
    ):
        with pytest.raises(ValueError, match="`region` of a stored edit must be"):
            encode(key_of(ORIGINAL, EDIT), ORIGINAL, dataclasses.replace(edited(ORIGINAL, EDIT), region=region))
    with pytest.raises(ValueError, match="`strength` of a record"):
        encode(key_of(ORIGINAL, EDIT), ORIGINAL, dataclasses.replace(edited(ORIGINAL, EDIT), strength=1.5))
    key = EditKey(**{**vars(key_of(ORIGINAL, EDIT)), "kind": "Blur It"})
    with pytest.raises(ValueError, match="`kind` and `color`"):
        _ = key.filename
