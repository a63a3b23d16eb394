"""The transform fed from a store."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from records import EDITS, edited, filled, key_of
from samples import Scenes, scene
from torch.utils.data import DataLoader

from augsal_transforms import Contrast, EditStore, SaliencyDiffusionAugment


@pytest.fixture
def store(tmp_path):
    """All four edits of the eight scenes."""
    store = EditStore(tmp_path / "store")
    for n in range(8):
        original = scene(n)["image"]
        for edit in EDITS:
            store.put(key_of(original, edit), original, edited(original, edit), source=f"scene-{n}")
    return store


def test_a_sample_takes_an_edit_that_the_store_holds(store):
    augment = SaliencyDiffusionAugment(store=store.folder, p=1, seed=7)
    for n in range(8):
        sample = augment(scene(n))
        (expected,) = (
            edited(scene(n)["image"], edit)
            for edit in EDITS
            if (edit.kind, edit.strength) == (sample["edit_kind"], sample["edit_alpha"])
        )
        assert torch.equal(sample["edited_image"], expected.image)
        assert torch.equal(sample["edit_mask"], expected.edit_mask)
        assert torch.equal(sample["image"], scene(n)["image"])
        assert sample["is_edited"]
        assert sample["edit_word"] == "dog"
    assert augment.counts == {"edited": 8}


def test_kinds_are_equally_likely_whatever_number_of_strengths_each_has(store):
    augment = SaliencyDiffusionAugment(store=store, p=1)
    kinds = [augment(scene(n % 8))["edit_kind"] for n in range(600)]
    assert all(abs(kinds.count(kind) - 200) < 45 for kind in ("contrast", "brightness", "color"))


def test_p_is_the_chance_of_an_edit_and_epochs_differ(store):
    augment = SaliencyDiffusionAugment(store=store, p=0.5, seed=3)

    def epoch(number):
        augment.set_epoch(number)
        return [augment(scene(n))["edit_alpha"] for n in range(8)]

    assert epoch(0) == epoch(0) != epoch(1)
    assert 0 < augment.counts["by chance"] < 24


@pytest.mark.parametrize("on_error", ["keep", "raise"])
def test_what_the_store_lacks_is_kept_counted_and_told_once(store, on_error):
    augment = SaliencyDiffusionAugment(store=store, p=1, on_error=on_error)
    if on_error == "raise":
        with pytest.raises(ValueError, match="the store holds no edit of this image"):
            augment(scene(20))
        return
    with pytest.warns(UserWarning, match="found by the original's pixels"):
        sample = augment(scene(20))
    assert torch.equal(augment(scene(21))["edited_image"], scene(21)["image"])
    assert not sample["is_edited"]
    assert list(augment.counts.values()) == [2]


def test_a_damaged_record_is_an_unedited_sample(store):
    for path in store.records():
        path.write_bytes(path.read_bytes()[:-9])
    augment = SaliencyDiffusionAugment(store=store, p=1)
    with pytest.warns(UserWarning, match="damaged"):
        samples = [augment(scene(n)) for n in range(8)]
    assert not any(sample["is_edited"] for sample in samples)
    assert list(augment.counts.values()) == [8]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_samples_are_identical_to_the_pixel_for_any_workers(store):
    augment = SaliencyDiffusionAugment(store=store.folder, p=0.7, seed=7)
    reference = None
    for workers, method in [(0, None), (1, "fork"), (2, "fork"), (1, "spawn"), (2, "forkserver")]:
        batches = list(DataLoader(Scenes(augment), num_workers=workers, multiprocessing_context=method))
        told = [(batch["edit_kind"][0], batch["edit_alpha"].item(), batch["edit_word"][0]) for batch in batches]
        pixels = [torch.cat([batch[name] for batch in batches]) for name in ("edited_image", "edit_mask")]
        reference = reference or (told, pixels)
        assert told == reference[0]
        assert all(torch.equal(one, other) for one, other in zip(pixels, reference[1], strict=True))
    assert len(set(reference[0])) > 2


def test_a_worker_imports_no_diffusion_library_and_opens_no_socket(tmp_path):
    filled(EditStore(tmp_path / "store"))
    program = f"""
import socket, sys
def refuse(*args, **kwargs):
    raise AssertionError("a socket was opened")
socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse
import torch
from records import picture
from augsal_transforms import SaliencyDiffusionAugment
augment = SaliencyDiffusionAugment(store={str(tmp_path / "store")!r}, p=1)
assert augment({{"image": picture(0), "saliency_map": torch.ones(1, 24, 32)}})["is_edited"]
loaded = {{"diffusers", "transformers", "huggingface_hub", "scipy"}} & set(sys.modules)
assert not loaded, loaded
"""
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    subprocess.run([sys.executable, "-c", program], check=True, env={**os.environ, "PYTHONPATH": path})


def test_it_has_exactly_one_source_of_edits(store, editor, tmp_path):
    for options in ({}, {"editor": editor, "store": store}):
        with pytest.raises(TypeError, match="exactly one of `editor` and `store`"):
            SaliencyDiffusionAugment(**options)
    with pytest.raises(TypeError, match="`edits` goes with `editor`"):
        SaliencyDiffusionAugment(store=store, edits=(Contrast(),))
    with pytest.raises(TypeError, match="`store` must be a folder"):
        SaliencyDiffusionAugment(store=5)
    with pytest.raises(FileNotFoundError, match="no store of edits"):
        SaliencyDiffusionAugment(store=tmp_path / "absent")
    assert repr(SaliencyDiffusionAugment(store=store)).startswith("SaliencyDiffusionAugment(store='")


def test_a_real_edit_comes_back_as_it_was_made(bundled, tmp_path):
    from augsal_transforms.data.scenes import SceneDataset
    from augsal_transforms.identity import describe, editor_identity
    from augsal_transforms.records import EditKey

    sample = SceneDataset(1, seed=5)[0]
    edit, store = Contrast(1.4), EditStore(tmp_path)
    (result,) = bundled.edit([sample["image"]], [sample["saliency_map"]], [sample["prompt"]], [edit])
    given = (sample["image"], sample["saliency_map"], sample["prompt"], edit)
    key = EditKey.of(*given, seed=0, editor=editor_identity(bundled))
    store.put(key, sample["image"], result, about=describe(bundled))
    taken = SaliencyDiffusionAugment(store=store, p=1)(sample)
    assert torch.equal(taken["edited_image"], result.image)
    assert torch.equal(taken["edit_mask"], result.edit_mask)
    assert taken["edit_word"] == result.word
