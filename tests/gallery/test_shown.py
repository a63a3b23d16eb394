import PIL.Image
import pytest
import torch
from helpers.galleries import store_edits
from helpers.records import EDITOR, edited, key_of, picture
from torchvision.transforms.v2.functional import pil_to_tensor

from augsal_transforms import Color, Contrast, EditStore
from augsal_transforms.diffusion.calibration import PHOTOGRAPHS, Calibration
from augsal_transforms.gallery.bounds import bounds_of
from augsal_transforms.gallery.shown import Problems, RenderedImages, StoredImages
from augsal_transforms.generate.generation import Generation
from augsal_transforms.store.identity import calibration_fingerprint
from augsal_transforms.store.keys import image_hash
from augsal_transforms.store.records import encode, read_metadata


def read(store, dataset):
    problems = Problems()
    return list(StoredImages(store, dataset, problems)), problems


def test_a_store_is_shown_image_by_image_with_all_its_edits(store, dataset):
    shown, problems = read(store, dataset)
    assert sorted(image.name for image in shown) == dataset.names
    assert vars(problems) == vars(Problems())
    for image in shown:
        edits = [(edit.result.kind, edit.result.alpha) for edit in image.edits]
        expected = [("brightness", 0.15), ("color", 0.4), ("contrast", 1.2), ("contrast", 1.5), ("contrast", 1.8)]
        assert edits == expected
        assert all(edit.prompt == "a red dog on the street" for edit in image.edits)
        assert image.saliency_map.shape == (1, 32, 40)
    assert {image.kind for image in shown} == {"brightness", "color", "contrast"}


def test_only_records_of_shown_images_are_read(store, dataset):
    first = next(iter(StoredImages(store, dataset, Problems())))
    for path in store.records():
        if path.parent.name != image_hash(first.image):
            path.write_bytes(b"damaged")
    problems = Problems()
    assert next(iter(StoredImages(store, dataset, problems))).name == first.name
    assert problems.damaged == []


def test_damaged_records_are_named_and_the_others_shown(store, dataset):
    first = next(store.records())
    first.write_bytes(first.read_bytes()[:-40])
    shown, problems = read(store, dataset)
    assert sum(len(image.edits) for image in shown) == 29
    assert problems.damaged == [str(first)]


def test_a_rectangle_beyond_its_image_is_a_damaged_record(tmp_path, dataset):
    store, edit, large = EditStore(tmp_path / "edits"), Contrast(1.5), picture(size=(99, 99))
    key = key_of(pil_to_tensor(dataset[0]["image"]), edit)
    store.write(key, encode(key, large, edited(large, edit, place=(60, 60, 9, 9))), source="photo-0")
    shown, problems = read(store, dataset)
    assert shown == []
    assert problems.damaged == [str(store.path(key))]


def test_images_that_changed_are_broken_or_missing_are_counted(store, dataset):
    PIL.Image.new("RGB", (40, 32), "red").save(dataset.images["photo-0"])
    dataset.images["photo-1"].write_bytes(b"no image")
    dataset.names.remove("photo-2")
    shown, problems = read(store, dataset)
    assert sorted(image.name for image in shown) == ["photo-3", "photo-4", "photo-5"]
    assert problems.changed == ["photo-0"]
    assert len(problems.unreadable) == 1
    assert "photo-1.png is not a readable image" in problems.unreadable[0]
    assert (problems.elsewhere, problems.example) == (1, "photo-2")


def test_a_store_without_names_is_found_by_its_pixels(tmp_path, dataset):
    store = EditStore(tmp_path / "edits")
    store_edits(store, dataset, "photo-3", source="")
    shown, problems = read(store, dataset)
    assert [image.name for image in shown] == ["photo-3"]
    assert problems.elsewhere == 0


def test_a_broken_map_costs_the_map_alone(store, dataset):
    dataset.maps["photo-0"].write_bytes(b"no map")
    shown, problems = read(store, dataset)
    assert [image.name for image in shown if image.saliency_map is None] == ["photo-0"]
    assert problems.unreadable == []


def test_edits_beyond_twelve_are_counted(tmp_path, dataset):
    store = EditStore(tmp_path / "edits")
    store_edits(store, dataset, "photo-0", [Contrast(1 + n / 10) for n in range(1, 21)])
    shown, _ = read(store, dataset)
    assert (len(shown[0].edits), shown[0].further) == (12, 8)


@pytest.mark.parametrize(
    ("about", "expected"),
    [
        ({"bounds": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]}, (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)),
        ({"bounds": [0.1, "0.2", 0.3, 0.4, 0.5, 0.6]}, None),
        ({"bounds": [0.1, -0.2, 0.3, 0.4, 0.5, 0.6]}, None),
        ({"bounds": None}, None),
        (["bounds"], None),
        (None, None),
    ],
)
def test_bounds_are_those_that_a_record_states(tmp_path, dataset, about, expected):
    store = EditStore(tmp_path / "edits")
    store_edits(store, dataset, "photo-0", about=about)
    assert read(store, dataset)[0][0].edits[0].bounds == expected


def test_a_record_without_bounds_has_those_of_its_calibration():
    editor = {**EDITOR, "calibration": calibration_fingerprint(Calibration.published())}
    two_sigma = tuple(2 * value for value in PHOTOGRAPHS)
    assert bounds_of({"editor": editor}) == pytest.approx(two_sigma)
    one = {**editor, "config": {"max_std": "1.0"}}
    assert bounds_of({"editor": one}) == pytest.approx(PHOTOGRAPHS)
    assert bounds_of({"editor": {**editor, "config": {"max_std": "inf"}}}) is None
    assert bounds_of({"editor": {"calibration": [], "config": 3}}) is None


def test_generated_records_state_their_bounds(tmp_path, dataset, editor):
    store = EditStore(tmp_path / "made")
    Generation(editor, store, dataset, [Contrast(1.5)]).run(dataset.names[:1])
    stated = bounds_of(read_metadata(next(store.records())))
    assert stated == pytest.approx([2 * value for value in editor.calibration.std.tolist()])


def test_an_editor_makes_each_kind_at_several_strengths(dataset, editor):
    problems = Problems()
    edits = (Contrast((1.2, 1.8)), Color(("red", "blue"), 0.5))
    images = RenderedImages(editor, dataset, edits, problems)
    shown = next(iter(images))
    made = [(edit.result.kind, edit.result.alpha) for edit in shown.edits]
    assert made == [("contrast", 1.2), ("contrast", 1.5), ("contrast", 1.8), ("color", 0.5)]
    assert shown.explanation.analysis.source.prompt == "a red dog on the street"
    again = next(iter(RenderedImages(editor, dataset, edits, problems)))
    assert again.edits[-1].result.color == shown.edits[-1].result.color
    assert torch.equal(again.edits[0].result.image, shown.edits[0].result.image)


def test_an_editor_shows_the_images_of_a_store(tmp_path, dataset, editor):
    store = EditStore(tmp_path / "edits")
    store_edits(store, dataset, "photo-4")
    shown = list(RenderedImages(editor, dataset, [Contrast(1.5)], Problems(), store=store))
    assert [image.name for image in shown] == ["photo-4"]


def test_an_image_that_an_editor_cannot_read_costs_itself(dataset, editor):
    dataset.names[:] = dataset.names[:2]
    dataset.maps["photo-0"].write_bytes(b"no map")
    problems = Problems()
    assert [image.name for image in RenderedImages(editor, dataset, [Contrast(1.5)], problems)] == ["photo-1"]
    assert problems.unreadable == ["photo-0: its saliency map cannot be read"]
