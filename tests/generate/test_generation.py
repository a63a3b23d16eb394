import json
import threading
import time
from dataclasses import replace

import numpy as np
import PIL.Image
import pytest
import torch
from helpers.datasets import write_folder
from helpers.records import filled

from augsal_transforms import (
    Brightness,
    Color,
    Contrast,
    EditConfig,
    EditStore,
    SaliencyDiffusionAugment,
    SaliencyEditor,
)
from augsal_transforms.data.folders import SaliencyFolder
from augsal_transforms.data.images import to_rgb_image
from augsal_transforms.generate.estimate import estimate
from augsal_transforms.generate.generation import Generation
from augsal_transforms.store.maintenance import repair


@pytest.fixture
def data(tmp_path):
    return write_folder(tmp_path / "data")


@pytest.fixture
def generation(data, tmp_path, editor):
    return Generation(editor, EditStore(tmp_path / "store"), SaliencyFolder(data))


def records(store):
    return [path.name for path in store.records()]


def test_every_image_gets_one_edit_of_each_kind_and_a_second_run_makes_none(generation, data):
    names = generation.files.names
    generation.run(names)
    assert generation.counts == {"made": 18, "reused": 0}
    for name in names:
        held = generation.store.find(name)
        assert [edit.kind for edit in held] == ["brightness", "color", "contrast"]
        metadata = generation.store.read(held[0].path).metadata
        assert (metadata["source"], metadata["prompt"], metadata["seed"]) == (name, "a red dog on the street", 0)
        assert metadata["about"]["licence"]
    first = records(generation.store)
    generation.run(reversed(names))
    assert generation.counts == {"made": 18, "reused": 18}
    assert records(generation.store) == first
    assert not any((generation.store.folder / "claims").iterdir())
    assert not (generation.store.folder / "failures.jsonl").exists()


def test_strengths_are_drawn_from_the_ranges_by_image_and_seed(generation, data, tmp_path, editor):
    files = generation.files
    generation.edits = (Contrast((1.2, 1.8)), Brightness(0.1), Color(("red", "blue"), 0.5))
    generation.run(files.names)
    held = [edit for name in files.names for edit in generation.store.find(name)]
    contrasts = {edit.alpha for edit in held if edit.kind == "contrast"}
    assert len(contrasts) == 6
    assert all(1.2 <= alpha <= 1.8 for alpha in contrasts)
    assert {edit.alpha for edit in held if edit.kind == "brightness"} == {0.1}
    assert {edit.color for edit in held if edit.kind == "color"} == {"red", "blue"}
    again = Generation(editor, EditStore(tmp_path / "again"), files, generation.edits)
    again.run(files.names[::-1])
    assert records(again.store) == records(generation.store)
    other = Generation(editor, generation.store, files, generation.edits, seed=1)
    other.run(files.names)
    assert other.counts == {"made": 18, "reused": 0}


def test_what_was_made_alone_is_what_the_editor_makes_and_the_transform_reads_it(generation, editor):
    generation.edits = (Contrast(1.5),)
    generation.run(["photo-2"])
    raw = generation.files[2]
    sample = SaliencyDiffusionAugment(store=generation.store, p=1)(raw)
    image = to_rgb_image(raw["image"]).as_subclass(torch.Tensor)
    (result,) = editor.edit(
        [image], [sample["saliency_map"].as_subclass(torch.Tensor)], [raw["prompt"]], [Contrast(1.5)]
    )
    assert sample["is_edited"]
    assert torch.equal(sample["edited_image"], result.image)
    assert torch.equal(sample["edit_mask"], result.edit_mask)


def test_one_bad_image_costs_one_image_and_is_forgotten_when_it_is_well(generation, data):
    path = data / "images" / "train" / "photo-1.png"
    whole = path.read_bytes()
    path.write_bytes(whole[:60])
    for expected in (1, 2):  # counted by each run, listed once
        generation.run(generation.files.names)
        assert generation.counts["failed"] == expected
        (line,) = (generation.store.folder / "failures.jsonl").read_text().splitlines()
        metadata = json.loads(line)
        assert (metadata["name"], metadata["path"]) == ("photo-1", str(path))
        assert "not a readable image" in metadata["error"]
    assert generation.counts["made"] == 15
    path.write_bytes(whole)
    generation.run(generation.files.names)
    assert generation.counts["made"] == 18
    assert not (generation.store.folder / "failures.jsonl").exists()


def test_an_edit_that_fails_costs_its_image_and_not_its_batch(generation, data):
    PIL.Image.new("RGB", (40, 32)).save(data / "images" / "train" / "photo-4.png")

    def overflow_on_black(module, inputs, output):  # as half precision may, on one image
        return torch.where((inputs[0] == -1).flatten(1).all(1)[:, None, None, None], torch.nan, output)

    handle = generation.editor.model.vae.encoder.register_forward_hook(overflow_on_black)
    try:
        generation.run(generation.files.names)
    finally:
        handle.remove()
    assert generation.counts == {"made": 15, "reused": 0, "failed": 1}
    assert "not finite" in (generation.store.folder / "failures.jsonl").read_text()
    assert not any((generation.store.folder / "claims").iterdir())


@pytest.fixture
def limited(sd1_folder, data, tmp_path):
    """A generation in batches of six, and a number: of the images that its U-Net's memory holds."""
    editor, holds = SaliencyEditor.from_pretrained(str(sd1_folder), config=EditConfig(batch_size=6)), [2]

    def run_out(module, inputs):
        if len(inputs[0]) > holds[0]:
            raise torch.OutOfMemoryError("CUDA out of memory")

    editor.model.unet.register_forward_pre_hook(run_out)
    return Generation(editor, EditStore(tmp_path / "limited"), SaliencyFolder(data)), holds


def test_where_memory_runs_out_batches_are_halved_and_no_image_is_lost(limited, generation):
    within, _ = limited
    with pytest.warns(UserWarning, match="does not hold a batch of") as warned:
        within.run(within.files.names)
    assert [str(warning.message).split(";")[0][-1] for warning in warned] == ["6", "3"]  # then batches of one
    assert within.editor.batches.size == 1
    assert within.counts == {"made": 18, "reused": 0}
    generation.run(generation.files.names)
    assert records(within.store) == records(generation.store)


def test_an_image_that_no_memory_holds_is_counted_listed_and_made_later(limited):
    within, holds = limited
    holds[0] = 0
    with pytest.warns(UserWarning, match="does not hold a batch of"):
        within.run(within.files.names)
    assert within.counts == {"failed": 6, "reused": 0}
    assert "out of memory" in (within.store.folder / "failures.jsonl").read_text()
    assert not any((within.store.folder / "claims").iterdir())
    holds[0] = 1
    within.run(within.files.names)
    assert within.counts["made"] == 18
    assert not (within.store.folder / "failures.jsonl").exists()


def test_without_a_caption_the_map_is_the_region_and_an_empty_map_is_refused(generation, data):
    (data / "captions.json").write_text(json.dumps({"photo-0": "a dog"}))
    PIL.Image.fromarray(np.zeros((32, 40), np.uint8)).save(data / "maps" / "train" / "photo-5.png")
    generation.files = SaliencyFolder(data)
    generation.run(generation.files.names)
    assert generation.counts == {"made": 15, "reused": 0, "refused": 3}
    sources = {
        name: generation.store.read(generation.store.find(name)[0].path).metadata["region_source"]
        for name in generation.files.names[:5]
    }
    assert sources == {"photo-0": "word", **{f"photo-{n}": "saliency_map" for n in range(1, 5)}}
    assert generation.store.find("photo-5") == []


def test_an_abandoned_claim_delays_an_image_and_no_more(generation):
    assert generation.claims.take("photo-3")
    finished = []
    started = time.monotonic()
    generation.run(generation.files.names, lambda: finished.append(time.monotonic() - started))
    assert generation.counts["made"] == 18
    assert len(finished) == 6
    assert finished[-1] >= 1.0  # the others first, and then a second's patience
    assert not any((generation.store.folder / "claims").iterdir())


def test_two_at_once_share_the_work(data, tmp_path, sd1_folder):
    one_at_a_time = EditConfig(batch_size=1)
    both = [
        Generation(
            SaliencyEditor.from_pretrained(str(sd1_folder), config=one_at_a_time),
            EditStore(tmp_path / "store"),
            SaliencyFolder(data),
        )
        for _ in range(2)
    ]
    names = both[0].files.names
    threads = [
        threading.Thread(target=g.run, args=(order,)) for g, order in zip(both, (names, names[::-1]), strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    made = [generation.counts["made"] for generation in both]
    assert all(made)
    assert 18 <= sum(made) <= 18 + 2 * 3  # at most one batch of each twice
    assert len(list(both[0].store.records())) == 18


def test_a_damaged_record_is_made_again_after_repair(generation):
    config = replace(generation.editor.config, batch_size=1)  # alone the first time, as the second time
    generation.editor = replace(generation.editor, config=config)
    generation.run(generation.files.names[:1])
    path = next(generation.store.records())
    before = generation.store.read(path)
    path.write_bytes(path.read_bytes()[:-1])
    assert repair(generation.store) == [path]
    generation.run(generation.files.names[:1])
    assert generation.counts["made"] == 4
    assert torch.equal(generation.store.read(path).difference, before.difference)


def test_an_estimate_counts_what_is_lacking_and_writes_nothing(generation):
    generation.run(["photo-0"])
    before = sorted(path for path in generation.store.folder.rglob("*") if path.is_file())
    found = estimate(generation, generation.files.names)
    assert sorted(path for path in generation.store.folder.rglob("*") if path.is_file()) == before
    assert (found.images, found.edits) == (5, 15)
    assert found.seconds > 0
    generation.run(generation.files.names)
    made = sum(path.stat().st_size for path in generation.store.records() if path not in before)
    assert found.bytes == pytest.approx(made, rel=0.1)
    assert estimate(generation, generation.files.names).edits == 0


def test_a_store_that_cannot_be_written_to_ends_the_run(generation):
    generation.store.folder.mkdir()
    (generation.store.folder / "v1").write_text("not a folder")
    with pytest.raises(OSError, match="v1"):
        generation.run(generation.files.names)


def test_a_read_only_store_or_no_edits_are_refused(generation, editor):
    filled(generation.store, count=1)
    with pytest.raises(ValueError, match="read-only"):
        Generation(editor, EditStore(generation.store.folder, readonly=True), generation.files)
    with pytest.raises(ValueError, match="`edits` must not be empty"):
        Generation(editor, generation.store, generation.files, ())
