"""benchmarks/table2/trial.py, variants.py and training_set.py: variants differ in the augmentation alone."""

import shutil
from dataclasses import replace

import pytest
import torch
from table2.paired import METRICS
from table2.training_set import HeldOut, TrainingSet
from table2.trial import Recipe, batches, run_trial, score, train
from table2.variants import GRID, WITHOUT, Variant, find_variants
from torch import nn

from augsal_transforms import Contrast, EditStore
from augsal_transforms.data.fixations import FixatedFolder
from augsal_transforms.generate.generation import Generation
from augsal_transforms.scenes.writer import write_scenes

RECIPE = Recipe(steps=3, batch_size=2, size=32)
WITH = find_variants(["with"])[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    write_scenes(folder, 4, split="train", seed=5, size=48)
    return FixatedFolder(folder, "train")


@pytest.fixture(scope="module")
def store(folder, editor, tmp_path_factory):
    store = EditStore(tmp_path_factory.mktemp("edits"))
    Generation(editor, store, folder, edits=(Contrast(1.8),)).run(folder.names)
    return store


@pytest.fixture(scope="module")
def training_set(folder, store):
    return TrainingSet(folder, RECIPE.size, {"default": store})


@pytest.fixture(scope="module")
def held_out(folder):
    return HeldOut.read(folder, RECIPE.size)


class Network(nn.Module):
    """One convolution, its first weights drawn."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 1, 3, padding=1)

    def forward(self, images):
        return self.layer(images).sigmoid()


def test_every_variant_sees_the_same_originals_in_the_same_order(training_set):
    originals = [[b.image for b in batches(c, 7, training_set, RECIPE)] for c in (WITHOUT, WITH, replace(WITH, p=1.0))]
    for others in originals[1:]:
        assert all(torch.equal(x, y) for x, y in zip(originals[0], others, strict=True))
    other_seed = torch.cat([b.image for b in batches(WITHOUT, 8, training_set, RECIPE)])
    assert not torch.equal(other_seed, torch.cat(originals[0]))


def test_an_epoch_has_every_image_once(training_set):
    drawn = [image for b in batches(WITHOUT, 7, training_set, replace(RECIPE, steps=2)) for image in b.image]
    assert {image.numpy().tobytes() for image in drawn} == {image.numpy().tobytes() for image in training_set.images}


def test_every_variant_begins_with_the_same_weights(training_set):
    frozen = replace(RECIPE, learning_rate=0.0)
    first, second, other = (
        train(Network, c, seed, training_set, frozen).layer.weight
        for c, seed in ((WITHOUT, 1), (WITH, 1), (WITHOUT, 2))
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_variants_of_larger_p_edit_the_same_samples_and_more(training_set):
    seldom, often = (
        torch.cat([b.is_edited for b in batches(replace(WITH, p=p), 7, training_set, replace(RECIPE, steps=20))])
        for p in (0.25, 0.75)
    )
    assert 0 < seldom.sum() < often.sum()
    assert not (seldom & ~often).any()


def test_an_edited_sample_has_the_stores_pixels_inside_its_mask_alone(training_set):
    sample = training_set.draw(replace(WITH, p=1.0), 0, torch.Generator().manual_seed(0))
    changed = (sample.edited_image != sample.image).any(0)
    assert sample.is_edited
    assert changed.any()
    assert torch.equal(sample.image, training_set.images[0])
    away = nn.functional.max_pool2d((sample.edit_mask > 0).float(), 5, stride=1, padding=2)[0] == 0
    assert not changed[away].any()  # resizing carries an edit two pixels at most


def test_plain_images_replace_the_original_and_keep_its_map(training_set):
    edited = training_set.draw(replace(WITH, p=1.0), 0, torch.Generator().manual_seed(0))
    plain = training_set.draw(Variant(name="", augmentation="pixels", p=1.0), 0, torch.Generator().manual_seed(0))
    assert torch.equal(plain.image, edited.edited_image)
    assert torch.equal(plain.saliency_map, edited.saliency_map)
    assert not plain.is_edited


def test_an_alternative_takes_the_place_of_image_and_map(folder):
    other = torch.full((3, 32, 32), 7, dtype=torch.uint8), torch.full((1, 32, 32), 9, dtype=torch.uint8)
    training_set = TrainingSet(folder, RECIPE.size, {}, {"other": [[other], [], [], []]})
    variant = Variant(name="", augmentation="other", p=1.0)
    replaced, kept = (training_set.draw(variant, n, torch.Generator().manual_seed(0)) for n in (0, 1))
    assert torch.equal(replaced.image, other[0])
    assert torch.equal(replaced.saliency_map, other[1])
    assert torch.equal(kept.image, training_set.images[1])


def test_a_store_without_these_images_or_with_a_damaged_record_is_an_error(folder, store, tmp_path):
    with pytest.raises(ValueError, match="no edit of these images"):
        TrainingSet(folder, RECIPE.size, {"default": EditStore(tmp_path / "empty")})
    shutil.copytree(store.folder, tmp_path / "damaged")
    damaged = EditStore(tmp_path / "damaged")
    next(iter(damaged.records())).write_bytes(b"")
    with pytest.raises(ValueError, match="is damaged, or of another version; delete"):
        TrainingSet(folder, RECIPE.size, {"default": damaged})


def test_a_kind_that_is_not_held_leaves_the_sample_as_it_is(training_set):
    sample = training_set.draw(Variant(name="", p=1.0, kinds=("color",)), 0, torch.Generator().manual_seed(0))
    assert torch.equal(sample.edited_image, sample.image)
    assert not sample.is_edited


def test_an_editing_weight_of_zero_trains_as_without(training_set):
    # Network has no batch statistics, so the edited images reach its weights through the loss alone.
    plain = train(Network, WITHOUT, 1, training_set, RECIPE).layer.weight
    unweighted = train(Network, replace(WITH, p=1.0, editing_weight=0.0), 1, training_set, RECIPE).layer.weight
    weighted = train(Network, replace(WITH, p=1.0), 1, training_set, RECIPE).layer.weight
    assert torch.allclose(plain, unweighted, atol=1e-7)
    assert not torch.allclose(plain, weighted, atol=1e-7)


def test_a_trial_is_the_same_when_run_again_and_leaves_torchs_generator(training_set, held_out):
    before = torch.get_rng_state()
    first, again = (run_trial(Network, WITH, 3, training_set, held_out, RECIPE) for _ in range(2))
    assert first == again
    assert set(first) == set(METRICS)
    assert torch.equal(before, torch.get_rng_state())


def test_a_map_that_is_its_truth_is_scored_as_such(held_out):
    class Truth(nn.Module):
        def forward(self, images):
            return torch.stack(held_out.saliency_maps).float() / 255

    scores = score(Truth(), held_out)
    assert scores["cc"] == pytest.approx(1)
    assert scores["sim"] == pytest.approx(1)
    assert scores["kld"] == pytest.approx(0, abs=1e-9)


def test_names_of_variants_are_their_own():
    assert len({variant.name for variant in GRID}) == len(GRID)
    assert [variant.name for variant in find_variants(["with", "without"])] == ["without", "with"]
    with pytest.raises(ValueError, match="no variant 'wih'"):
        find_variants(["wih"])
