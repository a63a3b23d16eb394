"""Records that a stranger wrote, with a correct checksum."""

import dataclasses
import json
import random
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers.records import EDITS, edited, key_of, picture

from augsal_transforms import EditStore
from augsal_transforms.files import parse_json
from augsal_transforms.store.container import checksum_of
from augsal_transforms.store.keys import EditKey
from augsal_transforms.store.maintenance import damaged_records, repair, statistics
from augsal_transforms.store.records import decode, encode, read_metadata
from augsal_transforms.store.rectangle import to_webp

ORIGINAL, EDIT = picture(), EDITS[0]
RECORD = encode(key_of(ORIGINAL, EDIT), ORIGINAL, edited(ORIGINAL, EDIT), source="photo")


def take_apart(record=RECORD):
    """Metadata as JSON, and the bytes and shapes of the tensors."""
    (length,) = struct.unpack_from("<Q", record)
    header = json.loads(record[8 : 8 + length])
    data = record[8 + length :]
    content = {name: data[slice(*header[name]["data_offsets"])] for name in ("region", "rectangle")}
    return json.loads(header["__metadata__"]["record"]), content, {name: header[name]["shape"] for name in content}


def put_together(metadata, content, shapes, *, change=lambda header: None):
    """A record whose checksum is right, whatever is in it."""
    text = metadata if isinstance(metadata, str) else json.dumps(metadata, sort_keys=True)
    header = {"__metadata__": {"record": text, "sha256": checksum_of(text, content, shapes)}}
    start = 0
    for name, dtype in (("region", "F32"), ("rectangle", "U8")):
        end = start + len(content[name])
        header[name] = {"dtype": dtype, "shape": shapes[name], "data_offsets": [start, end]}
        start = end
    change(header)
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    return struct.pack("<Q", len(encoded)) + encoded + content["region"] + content["rectangle"]


def bomb(height, width):
    """A WebP whose header says height × width; a decoder takes the memory for them before it reads on."""
    webp = bytearray(take_apart()[1]["rectangle"])
    bits = struct.unpack_from("<I", webp, 21)[0] >> 28 << 28
    struct.pack_into("<I", webp, 21, bits | (height - 1) << 14 | (width - 1))
    return bytes(webp)


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
    fields = sorted(take_apart()[0].keys() - {"about", "prompt", "source", "word", "bound_by", "editor", "seed"})
    for _ in range(count):
        metadata, content, shapes = take_apart()
        for field in draw.sample(fields, draw.randint(1, 3)):
            value = draw.choice(NASTY)
            if draw.random() < 0.2:
                del metadata[field]
            elif metadata[field] != value:
                metadata[field] = value
        yield put_together(metadata, content, shapes)


def malformed():
    metadata, content, shapes = take_apart()
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
        put_together(*whole, change=lambda header: header.update(__metadata__={"record": 1, "sha256": 2})),
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
    picture_of = content["rectangle"]
    for name, data, size in (
        ("no picture", b"", [9, 12]),
        ("a picture without a place", picture_of, [0, 0]),
        ("a picture of another size", picture_of, [12, 9]),
        ("half a size", picture_of, [9, 0]),
        ("a PNG", b"\x89PNG\r\n\x1a\n" + bytes(40), [9, 12]),
        ("half a picture", picture_of[: len(picture_of) // 2], [9, 12]),
        ("a picture with an appendix", picture_of + b"EXIF\4\0\0\0abcd", [9, 12]),
        ("noise after a good header", picture_of[:26] + bytes(len(picture_of) - 26), [9, 12]),
        ("a bomb that says so", bomb(12_000, 12_000), [12_000, 12_000]),
        ("a bomb that does not", bomb(12_000, 12_000), [9, 12]),
        ("sides that a WebP cannot have", picture_of, [2**20, 1]),
    ):
        yield (
            name,
            put_together(
                {**metadata, "size": size}, {**content, "rectangle": data}, {**shapes, "rectangle": [len(data)]}
            ),
        )
    yield "a header of gigabytes", struct.pack("<Q", 2**40) + RECORD[8:]
    yield "a header longer than the file", struct.pack("<Q", len(RECORD)) + RECORD[8:]
    yield "nothing", b""
    yield "seven bytes", RECORD[:7]


def test_what_is_taken_apart_and_put_together_again_is_the_record():
    assert decode(put_together(*take_apart())).metadata == decode(RECORD).metadata


@pytest.mark.parametrize(
    ("name", "record"), list(malformed()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_malformed_record_is_a_miss(name, record, tmp_path):
    assert decode(record) is None or name == "nested editor"  # which its key cannot be made of
    (tmp_path / "record").write_bytes(record)
    read_metadata(tmp_path / "record")


def test_two_hundred_hostile_records_are_misses_that_verify_names_and_change_nothing(tmp_path):
    store = EditStore(tmp_path)
    good = key_of(ORIGINAL, EDITS[1])
    store.put(good, ORIGINAL, edited(ORIGINAL, EDITS[1]))
    records = [*variants(200), *(record for _, record in malformed())]
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


@pytest.mark.parametrize("place", [[20, 5], [3, 25], [24, 32], [50_000_000, 0], [0, 2**25]])
def test_a_rectangle_outside_the_image_is_refused_and_nothing_is_resized(place):
    metadata, content, shapes = take_apart()
    stored = decode(put_together({**metadata, "place": place}, content, shapes))
    for original in (ORIGINAL, ORIGINAL / 255):
        with pytest.raises(ValueError, match="reaches beyond its image of 24×32"):
            stored.onto(original)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64, torch.float16])
def test_pixels_outside_the_mask_never_change(dtype):
    """The difference is 200 everywhere, the mask covers one pixel of the rectangle."""
    metadata, content, shapes = take_apart()
    mask = torch.zeros(9, 12, dtype=torch.uint8)
    mask[4, 5] = 255
    webp = to_webp(torch.full((3, 9, 12), 200, dtype=torch.uint8), mask)
    stored = decode(put_together(metadata, {**content, "rectangle": webp}, {**shapes, "rectangle": [len(webp)]}))
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
    """Two records of an image of 4 megapixels that say they are of many more, then an edit of all of it."""
    original = torch.zeros(3, 2000, 2000, dtype=torch.uint8)
    original[:, ::7, ::5] = 99
    key = key_of(original, EDIT)
    record = encode(key, original, edited(original, EDIT, (0, 0, 2000, 2000)))
    metadata, content, shapes = take_apart(record)
    for side in (7000, 16383):
        changed = {**content, "rectangle": bomb(side, side)}
        of_bomb = {**shapes, "rectangle": [len(changed["rectangle"])]}
        hostile = put_together({**metadata, "size": [side, side]}, changed, of_bomb)
        EditStore(tmp_path / str(side)).write(key, hostile)
    EditStore(tmp_path / "good").write(key, record)
    torch.save(original, tmp_path / "original.pt")
    path = ":".join([str(Path(__file__).parents[1]), *sys.path])
    command = [sys.executable, "-c", GROWTH, *(tmp_path / name for name in ("original.pt", "7000", "16383", "good"))]
    out = subprocess.run(command, check=True, capture_output=True, text=True, env={"PYTHONPATH": path}).stdout.split()
    assert out[::2] == ["none", "none", "contrast"]
    assert all(float(growth) < limit for growth, limit in zip(out[1::2], (1, 1, 10), strict=True)), out


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
    with pytest.raises(ValueError, match="16383"):
        long = picture(size=(1, 20_000))
        encode(key_of(long, EDIT), long, edited(long, EDIT, (0, 0, 1, 20_000)))
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
