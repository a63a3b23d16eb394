import multiprocessing
import pickle
import random
import warnings

import numpy as np
import PIL.Image
import pytest
import torch
from helpers.samples import Draws, Scenes, scene
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset, default_collate
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2.functional import to_pil_image

from augsal_transforms import (
    AugmentedDataset,
    Brightness,
    Color,
    Contrast,
    EditMask,
    SaliencyDiffusionAugment,
    SaliencyMap,
)
from augsal_transforms.transform import check_worker

ADDED = {"edited_image", "edit_mask", "is_edited", "edit_kind", "edit_alpha", "edit_word"}


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
        return {n: augment._draw(f"scene-{n}") for n in order}

    assert kinds(1) == kinds(1, order=reversed(range(12)))
    assert kinds(1) != kinds(2)
    assert kinds(1) != kinds(1, epoch=1)
    assert kinds(1, epoch=1) == kinds(1, epoch=1)


def test_without_a_seed_epochs_differ_but_torchs_seed_repeats_them(editor):
    def epochs():
        torch.manual_seed(5)
        augment = SaliencyDiffusionAugment(editor=editor)
        return [[augment._draw(f"{n}") for n in range(12)] for _ in range(2)]

    first, second = epochs()
    assert first != second
    assert epochs() == [first, second]


def test_p_is_the_chance_of_an_edit(editor):
    augment = SaliencyDiffusionAugment(editor=editor, p=0.3, seed=0)
    share = np.mean([augment._draw(str(n))[0] is not None for n in range(3000)])
    assert abs(share - 0.3) < 0.03


def test_without_an_id_the_pixels_are_the_id(augment):
    raw = scene()
    del raw["image_id"]
    assert drawn(augment(raw)) == drawn(augment(raw))


WORKERS = [(0, None), (1, "fork"), (2, "fork"), (2, "spawn"), (2, "forkserver")]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_kind_strength_and_word_are_the_same_for_any_workers(sd1_folder):
    augment = SaliencyDiffusionAugment(editor=str(sd1_folder), p=0.7, seed=7)
    runs = []
    for workers, method in WORKERS:
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


def test_a_cuda_editor_in_a_forked_worker_is_refused_with_three_ways_out():
    with pytest.raises(RuntimeError, match=r"store.*augment\.batch.*num_workers=0"):
        check_worker(torch.device("cuda"), in_bad_fork=True)
    check_worker(torch.device("cuda"), in_bad_fork=False)
    check_worker(torch.device("cpu"), in_bad_fork=True)


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"saliency_map": torch.zeros(1, 32, 40)}, "all zeros"),
        ({"saliency_map": torch.full((1, 32, 40), float("nan"))}, "NaN"),
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
    def fail(*args, **kwargs):
        raise RuntimeError("CUDA out of memory")

    augment = SaliencyDiffusionAugment(editor=editor, p=1, on_error="keep")
    with pytest.raises(TypeError, match="`saliency_map` must be a PIL image"):
        augment({**scene(), "saliency_map": "map.png"})
    monkeypatch.setattr(type(editor), "edit", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
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
    batch["saliency_map"][2] = float("nan")
    batch = {key: value.cuda() if isinstance(value, torch.Tensor) else value for key, value in batch.items()}
    with pytest.warns(UserWarning, match="NaN"):
        edited = SaliencyDiffusionAugment(editor=editor, p=0.6, seed=3).batch(batch)
    assert 0 < edited["is_edited"].sum() < 6
    for key in ("image", "edited_image", "saliency_map", "edit_mask"):
        assert edited[key].device.type == "cuda"


def test_a_batch_without_maps_is_refused(augment):
    with pytest.raises(TypeError, match="lacks saliency_map"):
        augment.batch({"image": torch.rand(2, 3, 8, 8)})


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


@given(
    st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F"]),
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from(["ones", "zeros", "random", "negative", "nan", "inf", "uint8", "uint16", "rgb", "small", "huge"]),
)
@settings(max_examples=60, deadline=None)
def test_any_image_mode_and_map_kind_yields_a_complete_finite_sample(editor, mode, height, width, kind):
    generator = np.random.default_rng(height * 100 + width)
    values = generator.random((height, width)).astype("float32")
    field = {
        "ones": np.ones_like(values),
        "zeros": np.zeros_like(values),
        "random": values,
        "negative": values - 0.5,
        "nan": np.where(values < 0.2, np.nan, values),
        "inf": np.where(values < 0.2, np.inf, values),
        "uint8": (values * 255).astype("uint8"),
        "uint16": (values * 65535).astype("uint16"),
        "rgb": (values[..., None].repeat(3, 2) * 255).astype("uint8"),
        "small": values[: height // 2 + 1],
        "huge": values * 1e6,
    }[kind]
    augment = SaliencyDiffusionAugment(editor=editor, p=1, seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sample = augment({"image": PIL.Image.new(mode, (width, height)), "saliency_map": field})
    assert sample["image"].shape == sample["edited_image"].shape == (3, height, width)
    assert sample["saliency_map"].shape == sample["edit_mask"].shape == (1, height, width)
    assert sample["saliency_map"].isfinite().all()
    assert sample["is_edited"] == sample["edit_mask"].any()
    assert sample["saliency_map"].min() >= 0
    assert sample["saliency_map"].max() <= 1


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


class Pairs(Dataset):
    """What upstream readers give: a PIL image and an 8-bit PIL map."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        raw = scene(index)
        return to_pil_image(raw["image"]), to_pil_image(raw["saliency_map"])


def test_image_only_pipelines_see_the_same_draws_on_both_images(editor):
    from torchvision import transforms as v1

    image_transform = v1.Compose([v1.RandomHorizontalFlip(), v1.ColorJitter(0.5), v1.RandomCrop(24), v1.ToTensor()])
    augment = SaliencyDiffusionAugment(editor=editor, p=0)
    dataset = AugmentedDataset(Pairs(), augment, image_transform=image_transform, saliency_transform=v1.ToTensor())
    for _ in range(20):
        for index in range(4):
            sample = dataset[index]
            assert torch.equal(sample["image"], sample["edited_image"])
    edited = AugmentedDataset(
        Pairs(),
        SaliencyDiffusionAugment(editor=editor, p=1, seed=0),
        image_transform=v1.ToTensor(),
        saliency_transform=v1.ToTensor(),
    )[0]
    assert edited["is_edited"]
    assert not torch.equal(edited["image"], edited["edited_image"])
    assert edited["edit_mask"].shape == edited["saliency_map"].shape == (1, 32, 40)
    assert edited["edit_mask"].max() == 1


def test_wrapping_a_data_set_moves_no_other_draw(editor):
    from torchvision import transforms as v1

    image_transform = v1.Compose([v1.RandomHorizontalFlip(), v1.RandomCrop(24), v1.ToTensor()])
    torch.manual_seed(0)
    plain = [image_transform(Pairs()[n][0]) for n in range(4)]
    torch.manual_seed(0)
    wrapped = AugmentedDataset(Pairs(), SaliencyDiffusionAugment(editor=editor, p=0), image_transform=image_transform)
    for n in range(4):
        assert torch.equal(wrapped[n]["image"], plain[n])


def test_what_else_a_tuple_holds_and_the_depth_of_its_map_are_kept(editor):
    class Deep(Dataset):
        def __len__(self):
            return 1

        def __getitem__(self, index):
            raw = scene(index)
            deep = (raw["saliency_map"][0].numpy() * 65535).astype("uint16")
            return to_pil_image(raw["image"]), PIL.Image.fromarray(deep), "a caption", 7

    seen = []
    augment = SaliencyDiffusionAugment(editor=editor, p=1, seed=0)
    sample = AugmentedDataset(Deep(), augment, saliency_transform=lambda field: seen.append(np.array(field)) or field)[
        0
    ]
    assert sample["rest"] == ("a caption", 7)
    assert [field.max() for field in seen] == [65535, 65535]


@pytest.mark.parametrize("scale", [1, 255])
def test_maps_given_as_arrays_come_back_in_their_own_range(editor, scale):
    class Arrays(Dataset):
        def __len__(self):
            return 1

        def __getitem__(self, index):
            raw = scene(index)
            return raw["image"].permute(1, 2, 0).numpy(), raw["saliency_map"][0].numpy() * scale

    seen = []
    dataset = AugmentedDataset(
        Arrays(),
        SaliencyDiffusionAugment(editor=editor, p=1, seed=0),
        saliency_transform=lambda field: seen.append(field) or field,
    )
    dataset[0]
    assert [field.shape for field in seen] == [(32, 40), (32, 40)]
    assert seen[0].max() == seen[1].max() == scale


@pytest.fixture(scope="module")
def predictor(editor):
    from augsal_transforms import SaliencyPredictor
    from augsal_transforms.readouts.readouts import ReadoutConfig, Readouts

    with torch.random.fork_rng():
        torch.manual_seed(0)
        readouts = Readouts(ReadoutConfig.for_model(editor.model, ["dog"], width=8)).eval().requires_grad_(False)
    return SaliencyPredictor(editor.model, readouts, editor.name)


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
    with pytest.raises(TypeError, match="`predictor` must be a SaliencyPredictor"):
        SaliencyDiffusionAugment(editor=editor, predictor="bundled")
