import copy
import io
import multiprocessing
import pickle
import random
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import PIL.Image
import pytest
import torch
from helpers.brightest import Brightest
from helpers.samples import THOROUGHLY, Draws, Scenes, draw, scene
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, default_collate
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2.functional import to_pil_image

from augsal_transforms import (
    Brightness,
    Color,
    Contrast,
    EditMask,
    SaliencyDiffusionAugment,
    SaliencyGate,
    SaliencyMap,
)
from augsal_transforms.editor.edits import RAISING_EDITS
from augsal_transforms.sharing import ATTEMPTS
from augsal_transforms.transform import check_worker

ADDED = {
    *("edited_image", "edit_mask", "is_edited"),
    *("edit_kind", "edit_color", "edit_word", "edit_alpha", "edit_strength"),
}
no_caption = pytest.mark.filterwarnings("ignore:A sample has no caption:UserWarning")


@pytest.fixture
def augment(editor):
    return SaliencyDiffusionAugment(editor=editor, p=1.0, seed=7)


def drawn(sample):
    return sample["edit_kind"], sample["edit_alpha"], sample["edit_word"]


def test_a_sample_gains_the_promised_keys_and_types(augment):
    sample = augment(
        {**scene(), "boxes": tv_tensors.BoundingBoxes([[1, 1, 5, 5]], format="XYXY", canvas_size=(32, 40))}
    )
    assert set(sample) == {"image", "saliency_map", "prompt", "image_id", "boxes"} | ADDED
    assert type(sample["image"]) is type(sample["edited_image"]) is tv_tensors.Image
    assert type(sample["saliency_map"]) is SaliencyMap
    assert type(sample["edit_mask"]) is EditMask
    assert sample["saliency_map"].dtype == sample["edit_mask"].dtype == torch.float32
    assert sample["edit_mask"].shape == (1, 32, 40)
    assert torch.equal((sample["edit_mask"] * 255).round() / 255, sample["edit_mask"])
    assert sample["is_edited"].dtype == torch.bool
    assert sample["is_edited"].shape == ()
    assert sample["is_edited"]
    assert sample["edit_kind"] in ("contrast", "brightness", "color")
    assert sample["edit_word"] in ("red", "dog", "street")


def test_the_image_is_always_the_original(augment):
    before = scene()["image"]
    sample = augment(scene())
    assert torch.equal(sample["image"], before)
    assert not torch.equal(sample["edited_image"], before)
    outside = (sample["edit_mask"] == 0).expand_as(before)
    assert torch.equal(sample["edited_image"][outside], before[outside])


def test_unedited_samples_have_the_same_keys_and_neutral_values(editor):
    sample = SaliencyDiffusionAugment(editor=editor, p=0)(scene())
    assert set(sample) >= ADDED
    assert torch.equal(sample["edited_image"], sample["image"])
    assert not sample["edit_mask"].any()
    assert not sample["is_edited"]
    assert drawn(sample) == ("none", 0.0, "")


def test_edited_and_unedited_samples_collate(editor):
    augment = SaliencyDiffusionAugment(editor=editor, p=0.5, seed=0)
    batch = default_collate([augment(scene(n)) for n in range(8)])
    assert batch["is_edited"].any()
    assert not batch["is_edited"].all()
    assert batch["edited_image"].shape == batch["image"].shape


def test_later_transforms_move_all_four_pictures_alike(augment):
    pixels = scene()
    sample = augment(pixels)
    moved = v2.RandomHorizontalFlip(p=1)(sample)
    for key in ("image", "edited_image", "saliency_map", "edit_mask"):
        assert torch.equal(moved[key], sample[key].flip(-1))
    tail = v2.Compose(
        [
            v2.RandomResizedCrop((16, 16)),
            v2.ColorJitter(0.5),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize([0.5] * 3, [0.5] * 3),
        ]
    )
    # Where nothing was edited, crop, jitter and normalisation give the same picture twice.
    unedited = SaliencyDiffusionAugment(editor=augment.editor, p=0)(pixels)
    after = tail(unedited)
    assert torch.equal(after["image"], after["edited_image"])
    assert after["saliency_map"].shape == (1, 16, 16)
    assert after["saliency_map"].max() <= 1 + 1e-6


@no_caption
@pytest.mark.parametrize("kind", ["pil", "array", "tensor", "tuple", "list"])
def test_every_form_of_a_sample_is_taken(augment, kind):
    raw = scene()
    image, field = raw["image"], raw["saliency_map"]
    if kind == "pil":
        sample = augment({**raw, "image": to_pil_image(image), "saliency_map": to_pil_image(field)})
    elif kind == "array":
        sample = augment({**raw, "image": image.permute(1, 2, 0).numpy(), "saliency_map": field[0].numpy()})
    elif kind == "tensor":
        sample = augment(raw)
    else:
        result = augment((image, field, 5) if kind == "tuple" else [image, field, 5])
        assert type(result) is (tuple if kind == "tuple" else list)
        assert result[2] == 5
        assert set(result[3]) == ADDED
        sample = {"image": result[0], "saliency_map": result[1], **result[3]}
    assert torch.equal(sample["image"], image)
    assert torch.allclose(sample["saliency_map"], field, atol=1e-6)


def test_an_old_compose_of_v2_members_takes_a_sample(augment):
    from torchvision.transforms import Compose

    assert Compose([augment, v2.Resize((16, 16))])(scene())["edit_mask"].shape == (1, 16, 16)


@pytest.mark.parametrize(
    "lone",
    [torch.rand(3, 8, 8), PIL.Image.new("RGB", (8, 8)), {"image": torch.rand(3, 8, 8)}, (torch.rand(3, 8, 8), 3)],
)
def test_a_lone_image_is_an_error_that_names_the_way_out(augment, lone):
    with pytest.raises(TypeError, match="AugmentedDataset"):
        augment(lone)


def test_p_of_zero_is_bit_identical_to_a_pipeline_without_us(editor):
    def run(first, seeded):
        tail = [
            v2.RandomResizedCrop((16, 16)),
            v2.RandomHorizontalFlip(),
            v2.ColorJitter(0.4),
            v2.ToDtype(torch.float32, scale=True),
        ]
        pipeline = v2.Compose([*first, *tail])
        torch.manual_seed(3)
        samples = []
        for n in range(10):
            sample = scene(n)
            sample = {
                **sample,
                "image": tv_tensors.Image(sample["image"]),
                "saliency_map": SaliencyMap(sample["saliency_map"]),
            }
            samples.append(pipeline(sample))
        return samples

    for seed in (None, 7):
        ours = run([SaliencyDiffusionAugment(editor=editor, p=0, seed=seed)], seed)
        for with_us, without in zip(ours, run([], seed), strict=True):
            assert torch.equal(with_us["image"], without["image"])
            assert torch.equal(with_us["saliency_map"], without["saliency_map"])


@pytest.mark.parametrize("seed", [None, 7])
def test_no_generator_but_our_own_is_drawn_from(editor, seed):
    augment = SaliencyDiffusionAugment(editor=editor, p=1, seed=seed)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    augment(scene())
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert (np.random.get_state()[1] == before[2]).all()


def test_draws_follow_seed_epoch_and_image_and_nothing_else(editor):
    def kinds(seed, epoch=0, order=range(12)):
        augment = SaliencyDiffusionAugment(editor=editor, seed=seed, edits=(Contrast(), Brightness(), Color()))
        augment.set_epoch(epoch)
        return {n: draw(augment, f"scene-{n}") for n in order}

    assert kinds(1) == kinds(1, order=reversed(range(12)))
    assert kinds(1) != kinds(2)
    assert kinds(1) != kinds(1, epoch=1)
    assert kinds(1, epoch=1) == kinds(1, epoch=1)


def test_without_a_seed_epochs_differ_but_torchs_seed_repeats_them(editor):
    def epochs():
        torch.manual_seed(5)
        augment = SaliencyDiffusionAugment(editor=editor)
        return [[draw(augment, f"{n}") for n in range(12)] for _ in range(2)]

    first, second = epochs()
    assert first != second
    assert epochs() == [first, second]


def test_p_is_the_chance_of_an_edit(editor):
    augment = SaliencyDiffusionAugment(editor=editor, p=0.3, seed=0)
    share = np.mean([draw(augment, str(n)) is not None for n in range(3000)])
    assert abs(share - 0.3) < 0.03


def test_without_an_id_the_pixels_are_the_id(augment):
    raw = scene()
    del raw["image_id"]
    assert drawn(augment(raw)) == drawn(augment(raw))


# The others are in tests/store/test_stored_edits.py.
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize(
    "others", [(2, "fork"), pytest.param((1, "spawn"), marks=pytest.mark.slow)], ids=["fork", "spawn"]
)
def test_kind_strength_and_word_are_the_same_for_any_workers(sd1_folder, others):
    augment = SaliencyDiffusionAugment(editor=str(sd1_folder), p=0.7, seed=7)
    runs = []
    for workers, method in [(0, None), others]:
        loader = DataLoader(Scenes(augment), num_workers=workers, multiprocessing_context=method)
        batches = list(loader)
        runs.append([(b["edit_kind"][0], b["edit_alpha"].item(), b["edit_word"][0]) for b in batches])
        pixels = torch.cat([b["edited_image"] for b in batches]).int()
        if len(runs) == 1:
            reference = pixels
        assert (pixels - reference).abs().max() <= 1
    assert all(run == runs[0] for run in runs)
    assert len(set(runs[0])) > 3


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_persistent_workers_see_the_epoch(sd1_folder, method):
    augment = SaliencyDiffusionAugment(editor=str(sd1_folder), seed=7)
    loader = DataLoader(Draws(augment), num_workers=1, persistent_workers=True, multiprocessing_context=method)
    seen = []
    for epoch in (0, 1, 0):
        augment.set_epoch(epoch)
        seen.append([batch[0] for batch in loader])
    assert seen[0] != seen[1]
    assert seen[0] == seen[2]
    del loader
    for child in multiprocessing.active_children():
        child.join(5)


def test_a_loaded_transform_is_a_small_parcel(augment):
    assert augment(scene())["is_edited"]
    parcel = pickle.dumps(augment)
    assert len(parcel) < 8000
    assert drawn(pickle.loads(parcel)(scene())) == drawn(augment(scene()))


def test_it_prints_on_one_line_without_weights(augment):
    text = repr(augment)
    assert text.startswith("SaliencyDiffusionAugment(editor=")
    assert "p=1.0" in text
    assert "\n" not in text
    assert len(text) < 600
    assert "keys" not in text


def test_it_prints_the_keys_it_was_given():
    assert "'image': 'img'" in repr(SaliencyDiffusionAugment(editor="bundled", keys={"image": "img"}))


def test_a_cuda_editor_in_a_forked_worker_is_refused_with_three_ways_out():
    with pytest.raises(RuntimeError, match=r"store.*augment\.batch.*num_workers=0"):
        check_worker(torch.device("cuda"), in_bad_fork=True)
    check_worker(torch.device("cuda"), in_bad_fork=False)
    check_worker(torch.device("cpu"), in_bad_fork=True)


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"saliency_map": torch.zeros(1, 32, 40)}, "all zeros"),
        ({"saliency_map": PIL.Image.new("L", (40, 32))}, "all zeros"),
    ],
)
def test_what_cannot_be_edited_is_kept_counted_and_reported_once(editor, change, cause):
    augment = SaliencyDiffusionAugment(editor=editor, p=1, seed=0)
    with pytest.warns(UserWarning, match=cause):
        sample = augment({**scene(), **change})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        augment({**scene(), **change})
    assert not sample["is_edited"]
    assert torch.equal(sample["edited_image"], sample["image"])
    assert sample["saliency_map"].shape == (1, 32, 40)
    (counted,) = augment.counts.items()
    assert counted[1] == 2
    assert cause in counted[0]
    with pytest.raises(ValueError, match=cause):
        SaliencyDiffusionAugment(editor=editor, p=1, on_error="raise")({**scene(), **change})


def test_what_is_wrong_with_the_pipeline_is_raised_whatever_on_error_says(editor, monkeypatch):
    def fail(error):
        def edit(*args, **kwargs):
            raise error

        return edit

    augment = SaliencyDiffusionAugment(editor=editor, p=1, on_error="keep")
    with pytest.raises(TypeError, match="`saliency_map` must be a PIL image"):
        augment({**scene(), "saliency_map": "map.png"})
    for error in (
        RuntimeError("CUDA error: an illegal memory access"),
        OSError(28, "No space left"),
        KeyboardInterrupt(),
    ):
        monkeypatch.setattr(type(editor), "edit", fail(error))
        with pytest.raises(type(error)):
            augment(scene())


@pytest.mark.parametrize(
    "error",
    [RuntimeError("CUDA out of memory"), UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates"), KeyError("x")],
)
def test_whatever_one_edit_raises_costs_its_image(editor, monkeypatch, error):
    def fail(*args, **kwargs):
        raise error

    augment = SaliencyDiffusionAugment(editor=editor, p=1)
    monkeypatch.setattr(type(editor), "edit", fail)
    with pytest.warns(UserWarning, match=f"the editor failed: {type(error).__name__}"):
        sample = augment(scene())
    assert not sample["is_edited"]
    assert torch.equal(sample["edited_image"], sample["image"])
    assert sum(augment.counts.values()) == 1
    with pytest.raises(ValueError, match="A sample cannot be edited: the editor failed") as raised:
        SaliencyDiffusionAugment(editor=editor, p=1, on_error="raise")(scene())
    assert raised.value.__cause__ is error


def test_a_run_in_which_every_edit_fails_is_refused(editor, monkeypatch):
    def fail(*args, **kwargs):
        raise ValueError("this editor is broken")

    augment = SaliencyDiffusionAugment(editor=editor, p=1)
    monkeypatch.setattr(type(editor), "edit", fail)
    with pytest.warns(UserWarning, match="broken"):
        augment.batch(default_collate([scene(n) for n in range(ATTEMPTS - 1)]))
    with pytest.raises(RuntimeError, match=rf"None of the first {ATTEMPTS} samples.*broken"):
        augment(scene())


def test_an_empty_map_is_no_error_where_no_edit_is_drawn(editor):
    augment = SaliencyDiffusionAugment(editor=editor, p=0, on_error="raise")
    assert not augment({**scene(), "saliency_map": torch.zeros(1, 32, 40)})["is_edited"]


def test_a_drawn_null_edit_is_an_unedited_sample(editor):
    augment = SaliencyDiffusionAugment(editor=editor, p=1, edits=(Brightness(0.0),), on_error="raise")
    assert drawn(augment(scene())) == ("none", 0.0, "")
    assert augment.counts == {"by chance": 1}


def test_images_out_of_range_are_errors_in_the_pipeline_not_bad_samples(augment):
    with pytest.raises(ValueError, match="before Normalize"):
        augment({**scene(), "image": torch.randn(3, 32, 40)})


@no_caption
def test_a_missing_caption_takes_the_saliency_map_for_its_region(augment):
    raw = scene()
    for prompt in (None, "", "the of a"):
        sample = augment({**raw, "prompt": prompt})
        assert sample["is_edited"]
        assert sample["edit_word"] == ""


def test_a_map_of_another_size_is_resized_to_the_image(augment):
    sample = augment({**scene(), "saliency_map": torch.rand(1, 256, 256)})
    assert sample["saliency_map"].shape == (1, 32, 40)


def test_a_batch_is_edited_as_its_samples_are(editor):
    def fresh():
        return SaliencyDiffusionAugment(editor=editor, p=0.6, seed=3)

    samples = [scene(n) for n in range(5)]
    together = fresh().batch(default_collate(samples))
    alone = [fresh()(sample) for sample in samples]
    assert together["edit_kind"] == [sample["edit_kind"] for sample in alone]
    assert together["edit_word"] == [sample["edit_word"] for sample in alone]
    for n, sample in enumerate(alone):
        assert together["is_edited"][n] == sample["is_edited"]
        assert (together["edited_image"][n].int() - sample["edited_image"].int()).abs().max() <= 1
        assert torch.equal(together["edit_mask"][n], sample["edit_mask"])


def test_later_transforms_move_all_pictures_of_a_batch(editor):
    batch = SaliencyDiffusionAugment(editor=editor, p=0.6, seed=3).batch(default_collate([scene(n) for n in range(4)]))
    tail = v2.Compose([v2.Resize((16, 20)), v2.RandomHorizontalFlip(1), v2.ToDtype(torch.float32, scale=True)])
    moved = tail(batch)
    for key in ("image", "edited_image", "saliency_map", "edit_mask"):
        assert type(moved[key]) is type(batch[key])
        assert moved[key].shape[-2:] == (16, 20)
        assert moved[key].dtype == torch.float32
    assert torch.equal(moved["edit_mask"], v2.Resize((16, 20))(batch["edit_mask"]).flip(-1))


@pytest.mark.gpu
def test_a_batch_on_the_gpu_is_edited_there(sd1_folder):
    from augsal_transforms import SaliencyEditor

    editor = SaliencyEditor.from_pretrained(str(sd1_folder), device="cuda", dtype=torch.float16)
    batch = default_collate([scene(n) for n in range(6)])
    batch["saliency_map"][2] = 0
    batch = {key: value.cuda() if isinstance(value, torch.Tensor) else value for key, value in batch.items()}
    with pytest.warns(UserWarning, match="all zeros"):
        edited = SaliencyDiffusionAugment(editor=editor, p=0.6, seed=3).batch(batch)
    assert 0 < edited["is_edited"].sum() < 6
    for key in ("image", "edited_image", "saliency_map", "edit_mask"):
        assert edited[key].device.type == "cuda"


def test_a_batch_without_maps_is_refused(augment):
    with pytest.raises(TypeError, match="lacks saliency_map"):
        augment.batch({"image": torch.rand(2, 3, 8, 8)})
    pair = torch.rand(2, 3, 8, 8), torch.rand(2, 1, 8, 8)
    for wrong in (pair, list(pair), [{"image": pair[0]}], pair[0]):
        with pytest.raises(TypeError, match="`batch` must be a dict of collated values, got"):
            augment.batch(wrong)


def test_one_bad_sample_of_a_batch_costs_one_sample(editor, monkeypatch):
    augment = SaliencyDiffusionAugment(editor=editor, p=1, seed=3)
    edit = type(editor).edit

    def sometimes(self, images, *args, **kwargs):
        if any(torch.equal(image, scene(2)["image"]) for image in images):
            raise ValueError("this one is bad")
        return edit(self, images, *args, **kwargs)

    monkeypatch.setattr(type(editor), "edit", sometimes)
    with pytest.warns(UserWarning, match="this one is bad"):
        batch = augment.batch(default_collate([scene(n) for n in range(4)]))
    assert batch["is_edited"].tolist() == [True, True, False, True]


def test_colour_and_strength_are_leaves_and_numbers_are_float32(editor):
    sample = SaliencyDiffusionAugment(editor=editor, p=1, edits=[Color("red", 0.5)], seed=0)(scene())
    assert sample["edit_color"] == "red"
    for key in ("edit_alpha", "edit_strength"):
        assert sample[key].dtype == torch.float32
        assert sample[key].shape == ()
    assert sample["edit_alpha"] == 0.5
    assert 0 < sample["edit_strength"] <= 1
    batch = SaliencyDiffusionAugment(editor=editor, p=0).batch(default_collate([scene(n) for n in range(3)]))
    assert batch["edit_color"] == ["", "", ""]
    assert batch["edit_alpha"].dtype == batch["edit_strength"].dtype == torch.float32
    assert batch["edit_strength"].tolist() == batch["edit_alpha"].tolist() == [0, 0, 0]


MAP_KINDS = {
    "ones": lambda values: np.ones_like(values),
    "zeros": lambda values: np.zeros_like(values),
    "random": lambda values: values,
    "uint8": lambda values: (values * 255).astype("uint8"),
    "uint16": lambda values: (values * 65535).astype("uint16"),
    "float64": lambda values: values.astype("float64"),
    "half": lambda values: values.astype("float16"),
    "rgb": lambda values: (values[..., None].repeat(3, 2) * 255).astype("uint8"),
    "small": lambda values: values[: len(values) // 2 + 1],
    "huge": lambda values: values * 1e6,
    "tensor": torch.from_numpy,
    "picture": lambda values: PIL.Image.fromarray((values * 255).astype("uint8")),
    "negative": lambda values: values - 1.5,
    "log density": lambda values: np.log(values + 1e-9) - 1,
    "nan": lambda values: np.where(values == values.max(), np.nan, values),
    "inf": lambda values: np.where(values == values.max(), np.inf, values),
    "batch": lambda values: torch.from_numpy(values)[None, None],
    "empty": lambda values: values[:0],
    "complex": lambda values: values.astype("complex64"),
    "text": lambda values: "map.png",
    "none": lambda values: None,
    "list": lambda values: values.tolist(),
}
NO_MAPS = {"negative", "log density", "nan", "inf", "batch", "empty", "complex", "text", "none", "list"}


@THOROUGHLY
@given(
    st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F", "I"]),
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from(list(MAP_KINDS)),
    st.sampled_from([0.0, 0.3]),
)
def test_any_image_mode_and_map_gives_a_complete_sample_or_an_error_that_names_it(editor, mode, height, width, kind, p):
    values = np.random.default_rng(height * 100 + width).random((height, width)).astype("float32")
    augment = SaliencyDiffusionAugment(editor=editor, p=p, seed=0)
    given = {"image": PIL.Image.new(mode, (width, height)), "saliency_map": MAP_KINDS[kind](values)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind in NO_MAPS:
            with pytest.raises((ValueError, TypeError), match="`saliency_map`"):
                augment(given)
            return
        sample = augment(given)
    assert sample["image"].shape == sample["edited_image"].shape == (3, height, width)
    assert sample["saliency_map"].shape == sample["edit_mask"].shape == (1, height, width)
    assert sample["saliency_map"].isfinite().all()
    assert sample["is_edited"] == sample["edit_mask"].any()
    assert sample["saliency_map"].min() >= 0
    assert sample["saliency_map"].max() <= 1
    assert kind == "zeros" or sample["saliency_map"].any()


@pytest.mark.parametrize("p", [0, 1])
@pytest.mark.parametrize("on_error", ["keep", "raise"])
def test_nothing_stands_in_for_a_target(editor, p, on_error):
    augment = SaliencyDiffusionAugment(editor=editor, p=p, on_error=on_error)
    for wrong in (
        torch.full((1, 32, 40), torch.nan),
        torch.rand(1, 32, 40) - 3,
        torch.rand(1, 1, 32, 40),
        torch.rand(1, 32, 40) - 0.5,
    ):
        with pytest.raises(ValueError, match=r"`saliency_map`.*'scene-0'"):
            augment({**scene(), "saliency_map": wrong})


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"p": 1.5}, ValueError, "`p` must lie in"),
        ({"edits": ()}, TypeError, "`edits` must hold"),
        ({"edits": ("contrast",)}, TypeError, "`edits` must hold"),
        ({"on_error": "skip"}, ValueError, "`on_error` must be"),
        ({"editor": 5}, TypeError, "`editor` must be a name"),
    ],
)
def test_options_are_checked_when_it_is_made(editor, options, error, words):
    with pytest.raises(error, match=words):
        SaliencyDiffusionAugment(**{"editor": editor, **options})


def test_a_sample_without_a_map_gets_the_predictors_and_says_so(editor, predictor):
    augment = SaliencyDiffusionAugment(editor=editor, p=1.0, seed=0, predictor=predictor)
    whole = scene()
    without = {key: value for key, value in whole.items() if key != "saliency_map"}
    sample, given = augment(without), augment(whole)
    assert sample["is_predicted"]
    assert torch.equal(sample["saliency_map"].as_subclass(torch.Tensor), predictor.predict([whole["image"]])[0])
    assert sample["is_edited"]
    assert not given["is_predicted"]
    assert torch.equal(given["saliency_map"].as_subclass(torch.Tensor), whole["saliency_map"])
    assert augment.counts["map predicted"] == 1
    assert set(sample) == set(given)


def test_a_batch_without_maps_gets_the_predictors_in_one_go(editor, predictor, monkeypatch):
    def fresh():
        return SaliencyDiffusionAugment(editor=editor, p=0.6, seed=3, predictor=predictor)

    calls = []
    predict = type(predictor).predict
    monkeypatch.setattr(
        type(predictor), "predict", lambda self, images: calls.append(len(images)) or predict(self, images)
    )
    samples = [{key: value for key, value in scene(n).items() if key != "saliency_map"} for n in range(5)]
    augment = fresh()
    together = augment.batch(default_collate(samples))
    assert calls == [5]
    assert augment.counts["map predicted"] == 5
    assert together["is_predicted"].tolist() == [True] * 5
    assert type(together["saliency_map"]) is SaliencyMap
    alone = [fresh()(sample) for sample in samples]
    assert together["edit_kind"] == [sample["edit_kind"] for sample in alone]
    assert together["is_edited"].tolist() == [bool(sample["is_edited"]) for sample in alone]
    for n, sample in enumerate(alone):
        assert torch.allclose(together["saliency_map"][n], sample["saliency_map"], atol=1e-4)
    given = fresh().batch(default_collate([scene(n) for n in range(5)]))
    assert given["is_predicted"].tolist() == [False] * 5
    assert set(given) == set(together)


def test_a_batch_of_nothing_but_maps_is_refused_with_a_predictor_too(editor, predictor):
    with pytest.raises(TypeError, match="lacks image"):
        SaliencyDiffusionAugment(editor=editor, predictor=predictor).batch({"saliency_map": torch.rand(2, 1, 8, 8)})


def test_without_a_predictor_the_contract_has_no_other_key_and_a_lone_image_stays_an_error(editor, predictor):
    assert "is_predicted" not in SaliencyDiffusionAugment(editor=editor, p=0)(scene())
    with pytest.raises(TypeError, match="needs an image with its saliency map"):
        SaliencyDiffusionAugment(editor=editor, predictor=predictor)(scene()["image"])
    with pytest.raises(TypeError, match="`predictor` must have a method `predict"):
        SaliencyDiffusionAugment(editor=editor, predictor="bundled")


def test_any_model_with_predict_gives_maps_and_wrong_maps_are_refused(editor):
    class Own:
        def __len__(self):  # false where a truth value is asked for
            return 0

        def predict(self, images):
            return [image.float().mean(0, keepdim=True) / 255 * scale for image in images]

    scale, sample = 0.5, {"image": scene()["image"], "image_id": "a"}
    out = SaliencyDiffusionAugment(editor=editor, p=0, predictor=Own())(sample)
    assert out["is_predicted"].item()
    assert out["saliency_map"].max() == 1
    scale = float("nan")
    with pytest.raises(ValueError, match="must return finite maps"):
        SaliencyDiffusionAugment(editor=editor, p=0, predictor=Own())(sample)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"p": "0.5"}, TypeError, "`p` must be a number"),
        ({"p": True}, TypeError, "`p` must be a number"),
        ({"p": None}, TypeError, "`p` must be a number"),
        ({"p": float("nan")}, ValueError, "`p` must lie in"),
        ({"p": -0.1}, ValueError, "`p` must lie in"),
        ({"seed": "7"}, TypeError, "`seed` must be an integer"),
        ({"seed": 7.0}, TypeError, "`seed` must be an integer"),
        ({"seed": True}, TypeError, "`seed` must be an integer"),
        ({"edits": Contrast()}, TypeError, "`edits` must hold"),
        ({"edits": (Contrast,)}, TypeError, "`edits` must hold"),
        ({"edits": "contrast"}, TypeError, "`edits` must hold"),
        ({"keys": ["img"]}, TypeError, "`keys` must be a dict"),
    ],
)
def test_arguments_of_the_wrong_kind_are_named(options, error, words):
    with pytest.raises(error, match=words):
        SaliencyDiffusionAugment(**{"editor": "bundled", **options})


def test_numpy_numbers_are_numbers():
    augment = SaliencyDiffusionAugment(editor="bundled", p=np.float32(0.5), seed=np.int64(7))
    augment.set_epoch(np.int32(2))
    same = SaliencyDiffusionAugment(editor="bundled", p=0.5, seed=7)
    same.set_epoch(2)
    assert [draw(augment, str(n)) for n in range(20)] == [draw(same, str(n)) for n in range(20)]


@pytest.mark.parametrize(("epoch", "error"), [("1", TypeError), (1.0, TypeError), (True, TypeError), (-1, ValueError)])
def test_an_epoch_is_a_number_of_0_or_more(epoch, error):
    with pytest.raises(error, match="`epoch` must be"):
        SaliencyDiffusionAugment(editor="bundled").set_epoch(epoch)


def test_a_store_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "edits.zip").write_bytes(b"")
    with pytest.raises(ValueError, match=r"`store` must be a folder.*edits\.zip"):
        SaliencyDiffusionAugment(store=tmp_path / "edits.zip")


def by_torch_save(augment):
    file = io.BytesIO()
    torch.save(augment, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize(
    ("copied", "method"),
    [
        (copy.deepcopy, "fork"),
        (lambda augment: pickle.loads(pickle.dumps(augment)), "fork"),
        (by_torch_save, "fork"),
        pytest.param(lambda augment: copy.deepcopy(Draws(augment)).augment, "spawn", marks=pytest.mark.slow),
    ],
)
def test_a_copy_has_an_epoch_of_its_own_that_its_workers_see(copied, method):
    original = SaliencyDiffusionAugment(editor="bundled", seed=7)
    original.set_epoch(5)
    augment = copied(original)
    loader = DataLoader(Draws(augment), num_workers=1, persistent_workers=True, multiprocessing_context=method)
    seen = []
    for epoch in (0, 1, 0):
        augment.set_epoch(epoch)
        seen.append([batch[0] for batch in loader])
    assert seen[0] != seen[1]
    assert seen[0] == seen[2]
    fresh = SaliencyDiffusionAugment(editor="bundled", seed=7)
    fresh.set_epoch(5)
    ours, expected = ([Draws(one)[n] for n in range(6)] for one in (original, fresh))
    assert ours == expected  # the copy's epochs are not the original's
    del loader
    for child in multiprocessing.active_children():
        child.join(5)


def test_threads_give_what_one_thread_gives(editor):
    samples = [scene(n % 6) for n in range(12)]
    one, many = (SaliencyDiffusionAugment(editor=editor, p=0.6, seed=3) for _ in range(2))
    expected = [one(sample) for sample in samples]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(many, samples))
    for sample, reference in zip(found, expected, strict=True):
        assert drawn(sample) == drawn(reference)
        assert torch.equal(sample["edited_image"], reference["edited_image"])
        assert torch.equal(sample["edit_mask"], reference["edit_mask"])
    assert many.counts == one.counts


def test_transforms_that_move_images_without_maps_are_refused_and_their_parts_work(augment):
    sample = augment(scene())
    for transform in (v2.RandAugment(), v2.AutoAugment(), v2.TrivialAugmentWide(), v2.AugMix()):
        with pytest.raises(TypeError, match=r"not supported|image"):
            transform(sample)
    parts = v2.Compose(
        [
            v2.RandomChoice(
                [v2.ColorJitter(0.5), v2.RandomPosterize(3, 1), v2.RandomEqualize(1), v2.RandomSolarize(99, 1)]
            ),
            v2.RandomAffine(10, (0.1, 0.1), shear=10),
        ]
    )
    unedited = SaliencyDiffusionAugment(editor=augment.editor, p=0)(scene())
    moved = parts(unedited)
    assert torch.equal(moved["image"], moved["edited_image"])
    assert moved["saliency_map"].shape == (1, 32, 40)


def test_a_gate_keeps_what_nothing_raises_and_its_draws_are_the_same_anywhere(bundled):
    gate = SaliencyGate(Brightest())
    options = {"editor": bundled, "p": 1, "seed": 0, "saliency_gate": gate}
    up = SaliencyDiffusionAugment(edits=[Brightness((-0.2, -0.1)), Brightness((0.1, 0.2))], **options)
    sample, again = up(scene(0)), up(scene(0))
    assert sample["is_edited"]
    assert sample["edit_alpha"] > 0
    assert torch.equal(sample["edited_image"], again["edited_image"])
    assert "saliency_gate=SaliencyGate(choose='first', margin=0.0, tries=4)" in repr(up)
    down = SaliencyDiffusionAugment(edits=[Brightness((-0.2, -0.1))], on_error="raise", **options)
    sample = down(scene(0))
    assert not sample["is_edited"]
    assert torch.equal(sample["edited_image"], sample["image"])
    assert down.counts == {"not raised": 1}
    assert SaliencyDiffusionAugment(**options).edits == RAISING_EDITS


def test_a_gate_goes_with_an_editor_and_must_be_one(editor, tmp_path):
    with pytest.raises(TypeError, match="`augsal generate --raise-saliency first` fills a store"):
        SaliencyDiffusionAugment(store=tmp_path, saliency_gate=SaliencyGate(Brightest()))
    with pytest.raises(TypeError, match="`saliency_gate` must be a SaliencyGate or None, got Brightest"):
        SaliencyDiffusionAugment(editor=editor, saliency_gate=Brightest())
