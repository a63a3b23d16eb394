"""The transform fed from a store."""

import multiprocessing
import os
import subprocess
import sys
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest
import torch
from helpers.permissions import IS_ROOT, another_user, open_the_way, small_disk, small_files
from helpers.records import EDITS, edited, filled, key_of
from helpers.samples import Scenes, scene, scene_image
from torch.utils.data import DataLoader

from augsal_transforms import AugmentedSaliencyLoss, Contrast, EditStore, SaliencyDiffusionAugment, SaliencyLoss
from augsal_transforms.edit_sources import DAMAGED, NOT_HELD


@pytest.fixture
def store(tmp_path):
    """All four edits of the eight scenes."""
    return filled(EditStore(tmp_path / "store"), 8, stem="scene-{}", draw=scene_image)


def test_a_sample_takes_an_edit_that_the_store_holds(store):
    augment = SaliencyDiffusionAugment(store=store.folder, p=1, seed=7)
    for n in range(8):
        sample = augment(scene(n))
        (expected,) = (
            edited(scene(n)["image"], edit)
            for edit in EDITS
            if (edit.kind, edit.alpha_value) == (sample["edit_kind"], sample["edit_alpha"])
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


def put(store, numbers, place=(3, 5, 9, 12)):
    for n in numbers:
        original = scene(n)["image"]
        store.put(key_of(original, EDITS[0]), original, edited(original, EDITS[0], place))


def train(folder):
    """Train on the eight scenes for an epoch; what was counted, and which scenes were edited."""
    augment = SaliencyDiffusionAugment(store=folder, p=1)
    model = torch.nn.Conv2d(3, 1, 1)
    optimizer, criterion = torch.optim.SGD(model.parameters(), lr=0.1), AugmentedSaliencyLoss(SaliencyLoss())
    seen = []
    for batch in DataLoader(Scenes(augment), batch_size=4):
        prediction, edited_prediction = (model(batch[name] / 255).sigmoid() for name in ("image", "edited_image"))
        loss = criterion(prediction, batch["saliency_map"], edited_prediction, batch["edit_mask"], batch["is_edited"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert loss.isfinite()
        kept = ~batch["is_edited"]
        assert torch.equal(batch["edited_image"][kept], batch["image"][kept])
        seen += batch["is_edited"].tolist()
    assert all(weight.isfinite().all() for weight in model.parameters())
    return augment.counts, [n for n, is_edited in enumerate(seen) if is_edited]


def files(folder):
    return {path.relative_to(folder): path.stat().st_size for path in folder.rglob("*") if path.is_file()}


@pytest.mark.filterwarnings("ignore:A sample is kept unedited")
def test_training_goes_on_with_what_a_limit_of_file_sizes_let_through(tmp_path):
    """A write ends in the middle, as on a full disk: records of whole pictures do not fit, small ones do."""
    store = EditStore(tmp_path)
    with small_files(3_000):
        for n in range(8):
            with suppress(OSError):
                put(store, [n], (0, 0, 4, 4) if n % 2 else (0, 0, 32, 40))
    counts, edited_scenes = train(store.folder)
    assert edited_scenes == [1, 3, 5, 7]
    assert counts == {"edited": 4, NOT_HELD: 4}
    assert list(store.temporary_files()) == []


@pytest.mark.skipif(not IS_ROOT, reason="mounting a small file system needs root")
@pytest.mark.filterwarnings("ignore:A sample is kept unedited")
def test_training_goes_on_with_what_a_full_disk_holds(tmp_path):
    with small_disk(tmp_path, "40k"):
        store, written = EditStore(tmp_path), 0
        with pytest.raises(OSError, match="No space left"):
            for written in range(8):
                put(store, [written], (0, 0, 32, 40))
        before = files(tmp_path)
        counts, edited_scenes = train(tmp_path)
        assert edited_scenes == list(range(written)) != []
        assert counts == {"edited": written, NOT_HELD: 8 - written}
        assert files(tmp_path) == before
        assert not list(store.temporary_files())


@pytest.mark.filterwarnings("ignore:A sample is kept unedited")
def test_training_goes_on_with_what_a_readonly_folder_holds(tmp_path):
    store = EditStore(tmp_path / "store")
    put(store, range(5))
    open_the_way(store.folder)
    for path in store.folder.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    store.folder.chmod(0o555)
    before = files(store.folder)
    with another_user() if IS_ROOT else nullcontext():
        with pytest.raises(PermissionError):
            put(store, [5])
        counts, edited_scenes = train(store.folder)
    assert (counts, edited_scenes) == ({"edited": 5, NOT_HELD: 3}, [0, 1, 2, 3, 4])
    assert files(store.folder) == before


@pytest.mark.skipif(not IS_ROOT, reason="becoming another user needs root")
@pytest.mark.filterwarnings("ignore:A sample is kept unedited")
def test_training_goes_on_with_what_another_user_may_read(tmp_path):
    store = EditStore(tmp_path / "store")
    put(store, range(8))
    open_the_way(store.folder)
    paths = [store.list_edits(scene(n)["image"])[0].path for n in range(8)]
    for path in paths[4:7]:
        path.chmod(0o600)
    paths[7].parent.chmod(0o700)
    before = files(store.folder)
    with another_user():
        counts, edited_scenes = train(store.folder)
    assert (counts, edited_scenes) == ({"edited": 4, DAMAGED: 3, NOT_HELD: 1}, [0, 1, 2, 3])
    assert files(store.folder) == before


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_samples_are_identical_to_the_pixel_for_any_workers(store):
    augment = SaliencyDiffusionAugment(store=store.folder, p=0.7, seed=7)
    # Its workers then need not each import torch; a server that runs already is left as it is.
    multiprocessing.get_context("forkserver").set_forkserver_preload(["augsal_transforms"])
    reference = None
    for workers, method in [(0, None), (2, "fork"), (1, "spawn"), (2, "forkserver")]:
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
from helpers.records import picture
from augsal_transforms import SaliencyDiffusionAugment
augment = SaliencyDiffusionAugment(store={str(tmp_path / "store")!r}, p=1)
assert augment({{"image": picture(0), "saliency_map": torch.ones(1, 24, 32)}})["is_edited"]
loaded = {{"diffusers", "transformers", "huggingface_hub", "scipy"}} & set(sys.modules)
assert not loaded, loaded
"""
    path = os.pathsep.join([str(Path(__file__).parents[1]), str(Path(__file__).parent), *sys.path])
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
    from augsal_transforms.scenes.scenes import SceneDataset
    from augsal_transforms.store.identity import describe, editor_identity
    from augsal_transforms.store.keys import EditKey

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
