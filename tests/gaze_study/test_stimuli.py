import csv
from dataclasses import replace

import PIL.Image
import pytest
import torch
from helpers.datasets import write_folder
from helpers.records import edited, key_of
from torchvision.transforms.v2.functional import pil_to_tensor

from augsal_transforms import Brightness, Contrast, EditStore
from augsal_transforms.data.layouts import open_layout
from augsal_transforms.gaze_study.stimuli import write_stimuli
from augsal_transforms.gaze_study.study import read_edit_table


@pytest.fixture
def dataset(tmp_path):
    return open_layout(write_folder(tmp_path / "data", 4))


@pytest.fixture
def store(tmp_path, dataset):
    """Edits of three of the four images, and of the third one that changed nothing."""
    store = EditStore(tmp_path / "store")
    for name in dataset.names[:3]:
        for edit in (Contrast(1.2), Contrast(1.8), Brightness(0.15)):
            original = read(dataset.images[name])
            place = (0, 0, 0, 0) if name == dataset.names[2] else (3, 5, 9, 12)
            store.put(key_of(original, edit), original, edited_at(original, edit, place), source=name)
    return store


def edited_at(original, edit, place):
    result = edited(original, edit)
    return result if place[2] else replace(result, image=original, edit_mask=torch.zeros_like(result.edit_mask))


def read(path):
    return pil_to_tensor(PIL.Image.open(path).convert("RGB"))


def test_originals_edits_and_masks_come_out_to_the_bit(dataset, store, tmp_path):
    study = tmp_path / "study"
    assert write_stimuli(store, dataset, study) == 6
    rows = read_edit_table(study)
    assert sorted({(row.original, row.kind, row.alpha) for row in rows}) == [
        (name, *rest)
        for name in ("photo-0", "photo-1")
        for rest in (("brightness", 0.15), ("contrast", 1.2), ("contrast", 1.8))
    ]
    for row in rows:
        original = read(dataset.images[row.original])
        edit = Brightness(row.alpha) if row.kind == "brightness" else Contrast(row.alpha)
        expected = edited(original, edit)
        assert torch.equal(read(study / "images" / f"{row.original}.png"), original)
        assert torch.equal(read(study / "images" / f"{row.edit}.png"), expected.image)
        assert row.mask.name == f"{row.edit}.png"
        mask = pil_to_tensor(PIL.Image.open(row.mask)).float() / 255
        assert torch.equal(mask, expected.edit_mask)
    assert len(list((study / "images").iterdir())) == 8


def test_the_table_says_what_else_is_known_of_an_edit(dataset, store, tmp_path):
    write_stimuli(store, dataset, tmp_path / "study")
    with (tmp_path / "study" / "edits.csv").open(newline="") as file:
        row = next(csv.DictReader(file))
    assert (row["word"], row["strength"], row["bound_by"]) == ("dog", "0.8125", "brightness")


def test_a_draw_is_one_of_those_with_edits_and_the_seed_s_own(dataset, store, tmp_path):
    drawn = []
    for seed in range(6):
        folder = tmp_path / f"study-{seed}"
        assert write_stimuli(store, dataset, folder, count=1, seed=seed) == 3
        drawn += {row.original for row in read_edit_table(folder)}
    assert set(drawn) == {"photo-0", "photo-1"}
    write_stimuli(store, dataset, tmp_path / "again", count=1, seed=5)
    assert {row.original for row in read_edit_table(tmp_path / "again")} == {drawn[5]}


def test_a_study_is_not_written_over(dataset, store, tmp_path):
    write_stimuli(store, dataset, tmp_path / "study")
    with pytest.raises(FileExistsError, match="name another folder"):
        write_stimuli(store, dataset, tmp_path / "study")


def test_names_that_a_spreadsheet_would_run_are_escaped_and_read_back(tmp_path):
    data = write_folder(tmp_path / "data", 1)
    (data / "captions.json").unlink()
    for folder in ("images", "maps"):
        (path,) = (p for p in (data / folder).rglob("*") if p.is_file())
        path.rename(path.with_name(f"=SUM(A1){path.suffix}"))
    dataset, store = open_layout(data), EditStore(tmp_path / "store")
    original, edit = read(dataset.images["=SUM(A1)"]), Contrast(1.5)
    store.put(key_of(original, edit), original, edited(original, edit), source="=SUM(A1)")
    write_stimuli(store, dataset, tmp_path / "study")
    with (tmp_path / "study" / "edits.csv").open(newline="") as file:
        row = next(csv.DictReader(file))
    assert row["original"] == "'=SUM(A1)"
    assert row["edit"].startswith("'=SUM(A1)-contrast")
    assert row["alpha"] == "1.5"
    (shown,) = read_edit_table(tmp_path / "study")
    assert (shown.original, shown.alpha, f"'{shown.edit}") == ("=SUM(A1)", 1.5, row["edit"])


def test_two_images_that_would_share_a_file_are_refused(tmp_path, store):
    class Names:
        names = ("Art/001", "Art-001")

    with pytest.raises(ValueError, match=r"'Art-001' and 'Art/001' would both be written as Art-001\.png"):
        write_stimuli(store, Names(), tmp_path / "study")
    assert not (tmp_path / "study").exists()


def test_a_store_of_other_images_and_a_damaged_one_are_told(dataset, store, tmp_path):
    with pytest.raises(ValueError, match="holds no edit of the 4 images"):
        write_stimuli(EditStore(tmp_path / "empty"), dataset, tmp_path / "study")
    path = next(store.records())
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="is damaged; `augsal verify --repair` deletes it"):
        write_stimuli(store, dataset, tmp_path / "study")
