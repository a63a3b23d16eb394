"""Damaged data sets: `check_data` names every image that a generation leaves out, and nothing ends early."""

import json
import os
import random
import unicodedata
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from helpers.datasets import write_folder

from augsal_transforms import Brightness, EditStore
from augsal_transforms.data.checks import check_data
from augsal_transforms.data.layouts import open_layout
from augsal_transforms.data.names import printable
from augsal_transforms.generate import Generation

IMAGES = 5
Mutation = Callable[[Path, random.Random], None]


def pick(folder: Path, kind: str, rng: random.Random) -> Path:
    """One of the files that are still there."""
    return rng.choice(sorted((folder / kind / "train").iterdir()))


def edit_captions(folder: Path, change: Callable[[dict], object]) -> None:
    path = folder / "captions.json"
    try:
        table = json.loads(path.read_bytes().decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return  # another mutation was here before
    if isinstance(table, dict):
        path.write_text(json.dumps(change(table)))


def rewrite_captions(folder: Path, change: Callable[[bytes], bytes]) -> None:
    path = folder / "captions.json"
    path.write_bytes(change(path.read_bytes() if path.exists() else b"{}"))


def caption_of_one(value: object) -> Mutation:
    def mutate(folder: Path, rng: random.Random) -> None:
        edit_captions(folder, lambda table: {**table, rng.choice([*table, "photo-0"]): value})

    return mutate


def rewrite(kind: str, content: Callable[[bytes, random.Random], bytes]) -> Mutation:
    def mutate(folder: Path, rng: random.Random) -> None:
        path = pick(folder, kind, rng)
        if path.is_file():
            path.write_bytes(content(path.read_bytes(), rng))

    return mutate


def redraw(kind: str, change: Callable[[PIL.Image.Image], PIL.Image.Image], **options: object) -> Mutation:
    def mutate(folder: Path, rng: random.Random) -> None:
        path = pick(folder, kind, rng)
        try:
            picture = PIL.Image.open(path)
            picture.load()
        except (OSError, SyntaxError):
            return
        change(picture).save(path, options.get("format", "PNG"))

    return mutate


def rename(kind: str, name: Callable[[Path], str]) -> Mutation:
    def mutate(folder: Path, rng: random.Random) -> None:
        path = pick(folder, kind, rng)
        path.rename(path.with_name(name(path)))

    return mutate


def remove(kind: str) -> Mutation:
    return lambda folder, rng: (path := pick(folder, kind, rng)).is_file() and path.unlink()


def accented(folder: Path, rng: random.Random) -> None:
    """An image in NFD beside its map in NFC, as unpacking on another system leaves them."""
    path = pick(folder, "images", rng)
    new = f"café-{path.stem}"
    other = folder / "maps" / "train" / path.name
    path.rename(path.with_name(unicodedata.normalize("NFD", new) + path.suffix))
    if other.exists():
        other.rename(other.with_name(unicodedata.normalize("NFC", new) + other.suffix))


def twice(kind: str) -> Mutation:
    def mutate(folder: Path, rng: random.Random) -> None:
        path = pick(folder, kind, rng)
        if path.is_file():
            path.with_suffix(".bmp" if path.suffix != ".bmp" else ".jpg").write_bytes(path.read_bytes())

    return mutate


def folder_in_its_place(kind: str) -> Mutation:
    def mutate(folder: Path, rng: random.Random) -> None:
        path = pick(folder, kind, rng)
        if path.is_file():
            path.unlink()
            path.mkdir()

    return mutate


def dangling(kind: str) -> Mutation:
    def mutate(folder: Path, rng: random.Random) -> None:
        path = pick(folder, kind, rng)
        if path.is_file():
            path.unlink()
            path.symlink_to(folder / "nowhere.png")

    return mutate


def odd_name(kind: str) -> Mutation:
    def mutate(folder: Path, rng: random.Random) -> None:
        path = pick(folder, kind, rng)
        path.rename(path.with_name(os.fsdecode(b"odd-\xff\xfe.png")))

    return mutate


BOTH: tuple[Callable[[str], Mutation], ...] = (
    remove,
    twice,
    folder_in_its_place,
    dangling,
    odd_name,
    lambda kind: rewrite(kind, lambda data, rng: b""),
    lambda kind: rewrite(kind, lambda data, rng: data[: rng.randrange(1, max(2, len(data)))]),
    lambda kind: rewrite(kind, lambda data, rng: rng.randbytes(200)),
    lambda kind: rewrite(kind, lambda data, rng: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n"),
    lambda kind: rewrite(kind, lambda data, rng: b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
    lambda kind: redraw(kind, lambda p: p.resize((17, 9))),
    lambda kind: redraw(kind, lambda p: p.convert("L").convert("I;16")),
    lambda kind: redraw(kind, lambda p: p.convert("P")),
    lambda kind: redraw(kind, lambda p: p.convert("RGBA")),
    lambda kind: redraw(kind, lambda p: p.convert("1")),
    lambda kind: redraw(kind, lambda p: p.convert("CMYK"), format="JPEG"),
    lambda kind: redraw(kind, lambda p: p.convert("RGB"), format="GIF"),
    lambda kind: redraw(kind, lambda p: p.convert("RGB"), format="TIFF"),
    lambda kind: redraw(kind, lambda p: p.resize((1, 1))),
    lambda kind: redraw(kind, lambda p: PIL.Image.fromarray(np.zeros((32, 40), np.uint8))),
    lambda kind: rename(kind, lambda path: path.stem + ".JPEG"),
    lambda kind: rename(kind, lambda path: path.stem + ".txt"),
    lambda kind: rename(kind, lambda path: path.stem.upper() + path.suffix),
    lambda kind: rename(kind, lambda path: "." + path.name),
    lambda kind: rename(kind, lambda path: path.stem + " .png"),
)
MUTATIONS: list[Mutation] = [
    *(make(kind) for make in BOTH for kind in ("images", "maps")),
    accented,
    *(caption_of_one(value) for value in (None, 3.5, [], ["a dog", "a cat"], {"raw": "a dog"}, "\ud800 dog", "", True)),
    lambda folder, rng: edit_captions(folder, lambda table: {f"{name}.png": text for name, text in table.items()}),
    lambda folder, rng: edit_captions(folder, lambda table: [*table.values()]),
    lambda folder, rng: edit_captions(folder, lambda table: dict(list(table.items())[: len(table) // 2])),
    lambda folder, rng: (folder / "captions.json").write_bytes(
        b"\xef\xbb\xbf" + (folder / "captions.json").read_bytes()
    ),
    lambda folder, rng: (folder / "captions.json").write_bytes('{"photo-0": "un café"}'.encode("cp1252")),
    lambda folder, rng: (folder / "captions.json").write_text("[" * 100_000),
    lambda folder, rng: (folder / "captions.json").write_text("{"),
    lambda folder, rng: (folder / "captions.json").unlink(missing_ok=True),
]


def left_out(store: EditStore, folder: Path) -> set[str]:
    """Names of the image files that got no edit, as file stems in NFC."""
    made = set()
    for path in store.records():
        stored = store.read(path)
        assert stored is not None
        made.add(unicodedata.normalize("NFC", stored.metadata["source"]))
    endings = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
    files = [path for path in (folder / "images" / "train").iterdir() if path.suffix.lower() in endings]
    return {unicodedata.normalize("NFC", path.stem) for path in files if not path.name.startswith(".")} - made


@pytest.mark.parametrize(
    "seed", [pytest.param(seed, marks=[pytest.mark.slow] if seed >= 8 else []) for seed in range(200)]
)
def test_what_a_generation_leaves_out_is_named_by_the_check(seed, editor, tmp_path):
    rng = random.Random(seed)
    folder = write_folder(tmp_path / "data", IMAGES)
    for mutate in rng.sample(MUTATIONS, rng.randint(1, 4)):
        mutate(folder, rng)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        report = check_data(folder)
        store = EditStore(tmp_path / "store")
        if any(p.kind == "unreadable" and "captions.json" in p.detail for p in report.problems):
            with pytest.raises(ValueError, match="captions"):  # of all images: refused before the first edit
                open_layout(folder)
            return
        if not report.pairs:
            with pytest.raises(FileNotFoundError):
                open_layout(folder)
            return
        dataset = open_layout(folder)
        assert (len(dataset), dataset.captioned) == (report.pairs, report.captions)
        generation = Generation(editor, store, dataset, [Brightness(0.1)])
        generation.run(dataset.names)
    named = {unicodedata.normalize("NFC", problem.name) for problem in report.problems}
    missing = {printable(name) for name in left_out(store, folder)} - named
    assert not missing, f"left out without a word: {missing}; problems: {report.problems}"
    assert generation.counts["made"] + generation.counts["refused"] + generation.counts["failed"] == len(dataset.names)
