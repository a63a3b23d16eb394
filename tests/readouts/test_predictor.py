import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from augsal_transforms import SaliencyEditor, SaliencyPredictor
from augsal_transforms.readouts.predictor import upsample
from augsal_transforms.readouts.readouts import ReadoutConfig, Readouts

CLASSES = ("dog", "cat", "bus")


@pytest.fixture(scope="module")
def predictor(editor):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        readouts = Readouts(ReadoutConfig.for_model(editor.model, CLASSES, width=16)).eval()
    return SaliencyPredictor(editor.model, readouts, editor.name)


def picture(height, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (3, height, width), generator=generator, dtype=torch.uint8)


def test_maps_have_each_images_own_size_and_a_maximum_of_one(predictor):
    images = [picture(48, 80), picture(128, 128, 1), picture(300, 90, 2).float() / 255]
    maps = predictor.predict(images)
    assert [tuple(m.shape) for m in maps] == [(1, 48, 80), (1, 128, 128), (1, 300, 90)]
    for field in maps:
        assert field.dtype == torch.float32
        assert field.min() >= 0
        assert field.max().item() == pytest.approx(1)


def test_neither_order_nor_company_changes_a_map_but_the_seed_does(predictor):
    first, second = picture(64, 64), picture(64, 64, 1)
    together = predictor.predict([first, second])
    swapped = predictor.predict([second, first])
    assert torch.allclose(together[0], swapped[1], atol=1e-4)
    assert not torch.allclose(together[0], predictor.predict([first], seed=1)[0], atol=1e-4)


def test_seeds_are_those_that_the_editor_takes(predictor):
    (expected,) = predictor.predict([picture(64, 64)], seed=2)
    for seed in (np.int64(2), [2], range(2, 3)):
        assert torch.equal(predictor.predict([picture(64, 64)], seed=seed)[0], expected)
    for seed in (True, 2.0, "2", [None]):
        with pytest.raises(TypeError, match="`seed` must be a whole number"):
            predictor.predict([picture(64, 64)], seed=seed)


def test_a_map_that_is_not_finite_is_refused(predictor):
    """As from features that overflow in half precision: NaN scaled to a maximum of 1 would be NaN."""
    broken = replace(predictor, readouts=deepcopy(predictor.readouts))
    with torch.no_grad():
        broken.readouts.saliency.out.bias.fill_(torch.nan)
    with pytest.raises(FloatingPointError, match="not finite"):
        broken.predict([picture(64, 64)])


def test_readouts_survive_saving(predictor, tmp_path):
    predictor.save(tmp_path)
    loaded = SaliencyPredictor.from_pretrained(tmp_path, editor=predictor.model_name)
    assert loaded.readouts.config == predictor.readouts.config
    image = picture(64, 96)
    assert torch.allclose(loaded.predict([image])[0], predictor.predict([image])[0], atol=0.02)  # half precision
    assert not any(parameter.requires_grad for parameter in loaded.readouts.parameters())


def test_the_editor_is_found_by_the_readouts_themselves(predictor, tmp_path):
    predictor.save(tmp_path)
    assert SaliencyPredictor.from_pretrained(tmp_path).model_name == predictor.model_name


def test_readouts_of_one_editor_refuse_another(predictor, sd2_folder, tmp_path):
    predictor.save(tmp_path)
    other = SaliencyEditor.from_pretrained(str(sd2_folder))
    with pytest.raises(ValueError, match=r"were trained on the U-Net of another .*augsal train-readouts --editor"):
        SaliencyPredictor.from_pretrained(tmp_path, editor=other)
    with pytest.raises(ValueError, match="finds their own"):
        SaliencyPredictor(other.model, predictor.readouts, other.name)


def test_a_folder_without_readouts_is_refused(tmp_path):
    for name in (tmp_path, "~nobody/x", ""):
        with pytest.raises(FileNotFoundError, match="augsal train-readouts --out"):
            SaliencyPredictor.from_pretrained(name)


def test_names_of_another_type_are_refused(predictor, tmp_path):
    predictor.save(tmp_path)
    for name in (None, 3, b"bundled"):
        with pytest.raises(TypeError, match="`name` must be"):
            SaliencyPredictor.from_pretrained(name)
    for editor in (3, predictor.readouts):
        with pytest.raises(TypeError, match="`editor` must be a SaliencyEditor"):
            SaliencyPredictor.from_pretrained(tmp_path, editor=editor)


def test_a_retrained_unet_is_another_editor(predictor, tmp_path):
    predictor.save(tmp_path)
    description = json.loads((tmp_path / "augsal_readouts.json").read_text())
    description["editor"]["unet"] = "0" * 64
    (tmp_path / "augsal_readouts.json").write_text(json.dumps(description))
    with pytest.raises(ValueError, match="the U-Net of another model"):
        SaliencyPredictor.from_pretrained(tmp_path, editor=predictor.model_name)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"width": 12}, "`width`"), ({"classes": ()}, "`classes`"), ({"noise_level": 1.0}, "`noise_level`")],
)
def test_sizes_that_cannot_be_are_refused(options, words):
    sizes = {"unet": "", "tap_channels": ((8,),), "time_channels": 4, "latent_channels": 4, "classes": CLASSES}
    with pytest.raises(ValueError, match=words):
        ReadoutConfig(**{**sizes, **options})


def test_upsampling_blurs_by_latent_cells():
    # Variances add: one cell is 4 pixels, so a sigma of one cell adds 16 px².
    spike = torch.zeros(1, 1, 17, 17)
    spike[..., 8, 8] = 1

    def variance(field):
        profile = field[0, 0].double().sum(0)
        x = torch.arange(len(profile)).double()
        mean = (profile * x).sum() / profile.sum()
        return ((profile * (x - mean) ** 2).sum() / profile.sum()).item()

    sharp, blurred = upsample(spike, (68, 68), 0.0), upsample(spike, (68, 68), 1.0)
    assert variance(blurred) - variance(sharp) == pytest.approx(16, rel=0.06)  # the kernel ends at three sigmas


def test_eight_threads_predict_what_one_does(editor, predictor):
    """Prediction replaces forwards of the U-Net, analysis its attention: neither may meet the other."""
    images = [picture(48 + 16 * (n % 2), 64, n) for n in range(8)]
    expected = [predictor.predict([image])[0] for image in images]

    def call(n):
        if n % 3 == 2:
            return editor.analyse([images[n % 8]], [torch.ones(1, *images[n % 8].shape[1:])], ["a dog"])[0].region
        return predictor.predict([images[n % 8]])[0]

    region = editor.analyse([images[2]], [torch.ones(1, 48, 64)], ["a dog"])[0].region
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(call, range(24)))
    for n, result in enumerate(results):
        if n % 3 < 2:
            assert torch.equal(result, expected[n % 8]), n
    assert torch.equal(results[2], region)


def test_a_predictor_travels_to_a_worker(predictor):
    image = picture(64, 64)
    for other in (pickle.loads(pickle.dumps(predictor)), deepcopy(predictor)):
        assert torch.equal(other.predict([image])[0], predictor.predict([image])[0])
        assert (other.name, other.model_name) == (predictor.name, predictor.model_name)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.clear(),
        lambda d: d.update(width=10**9),
        lambda d: d.update(width="16"),
        lambda d: d.update(classes=[1, 2, 3]),
        lambda d: d.update(classes=["dog"] * 5),
        lambda d: d.update(tap_channels=[[8]] * 5000),
        lambda d: d.update(tap_channels=3),
        lambda d: d.update(editor=[]),
        lambda d: d.update(blur=float("nan")),
        lambda d: d.update(stranger=1),
    ],
    ids=range(10),
)
def test_a_broken_description_of_readouts_is_a_value_error_with_its_path(predictor, tmp_path, change):
    predictor.save(tmp_path)
    path = tmp_path / "augsal_readouts.json"
    description = json.loads(path.read_text())
    change(description)
    path.write_text(json.dumps(description))
    with pytest.raises(ValueError, match="augsal_readouts"):
        SaliencyPredictor.from_pretrained(tmp_path)


def test_broken_weights_of_readouts_are_named(predictor, tmp_path):
    predictor.save(tmp_path)
    path = tmp_path / "augsal_readouts.safetensors"
    weights = {name: tensor.clone() for name, tensor in load_file(path).items()}
    name = "saliency.out.weight"
    for wrong, words in (
        ({name: torch.full_like(weights[name], torch.nan)}, "not finite"),
        ({name: torch.zeros(2)}, r"saliency\.out\.weight is \(2,\)"),
        ({"stranger": torch.zeros(2)}, "unexpected stranger"),
    ):
        save_file({**weights, **wrong}, path)
        with pytest.raises(ValueError, match=words):
            SaliencyPredictor.from_pretrained(tmp_path)
    path.write_bytes(b"\x80\x02}q\x00.")  # a pickle
    with pytest.raises(ValueError, match="must be a whole safetensors file"):
        SaliencyPredictor.from_pretrained(tmp_path)
