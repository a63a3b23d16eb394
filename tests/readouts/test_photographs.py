import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from augsal_transforms import SaliencyPredictor
from augsal_transforms.diffusion.batching import Batches
from augsal_transforms.readouts.gaze_network import GazeNetwork
from augsal_transforms.readouts.photographs import PhotographPredictor, input_size


@pytest.fixture(scope="module")
def predictor():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return PhotographPredictor(GazeNetwork().eval().requires_grad_(False), 64)


@pytest.fixture
def folder(predictor, tmp_path):
    predictor.save(tmp_path)
    return tmp_path


def picture(height, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (3, height, width), generator=generator, dtype=torch.uint8)


def test_maps_have_each_images_own_size_and_a_maximum_of_one(predictor):
    images = [picture(48, 80), picture(1, 1, 1), picture(200, 3, 2).float() / 255, picture(90, 90).half() / 255]
    maps = predictor.predict(images)
    assert [tuple(m.shape) for m in maps] == [(1, 48, 80), (1, 1, 1), (1, 200, 3), (1, 90, 90)]
    for saliency_map in maps:
        assert saliency_map.dtype == torch.float32
        assert saliency_map.min() >= 0
        assert saliency_map.max() == 1


def test_neither_order_nor_company_nor_type_nor_seed_changes_a_map(predictor):
    first, second = picture(60, 80), picture(60, 80, 1)
    together, swapped = (
        predictor.predict([first, second]),
        predictor.predict([second, first.float() / 255], seed=[3, 4]),
    )
    assert torch.equal(together[0], swapped[1])
    assert torch.equal(together[0], predictor.predict(first[None])[0])
    batched = replace(predictor, batches=Batches(2)).predict([first, second])
    assert torch.allclose(torch.stack(batched), torch.stack(together), atol=1e-5)
    assert not torch.allclose(together[0], together[1], atol=1e-3)


def test_threads_give_what_one_thread_gives(predictor):
    images = [picture(60, 80, n) for n in range(6)]
    expected = [predictor.predict([image])[0] for image in images]
    with ThreadPoolExecutor(3) as pool:
        made = list(pool.map(lambda image: predictor.predict([image])[0], images))
    assert all(torch.equal(a, b) for a, b in zip(made, expected, strict=True))


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        # scale = 333 / √(600 · 800) = 0.4806: 288.4 and 384.5, to multiples of 32.
        ((600, 800), (288, 384)),
        ((768, 1024), (288, 384)),
        ((1000, 1000), (320, 320)),
        ((1, 1), (320, 320)),
        ((1, 100_000), (32, 2048)),
    ],
)
def test_the_networks_input_keeps_the_aspect(size, expected):
    assert input_size(size, 333) == expected
    assert input_size(size[::-1], 333) == expected[::-1]


def test_what_is_not_an_image_or_a_seed_is_refused(predictor):
    with pytest.raises(ValueError, match=r"RGB of shape \(3, H, W\)"):
        predictor.predict([torch.rand(1, 8, 8)])
    with pytest.raises(TypeError, match="`seed` must be"):
        predictor.predict([picture(8, 8)], seed="1")
    assert predictor.predict([]) == []


def test_a_network_that_is_not_finite_is_refused(predictor):
    broken = deepcopy(predictor)
    broken.network.readout[2].bias.data.fill_(torch.nan)
    with pytest.raises(FloatingPointError, match="not finite"):
        broken.predict([picture(8, 8)])


def test_a_network_survives_saving_and_travels_to_a_worker(predictor, folder):
    image = picture(60, 80)
    (expected,) = predictor.predict([image])
    loaded = SaliencyPredictor.from_pretrained(folder)
    assert (loaded.resolution, loaded.name, loaded.device.type) == (64, str(folder), "cpu")
    assert torch.allclose(loaded.predict([image])[0], expected, atol=0.02)  # half precision
    assert not any(parameter.requires_grad for parameter in loaded.network.parameters())
    assert sum(path.stat().st_size for path in folder.iterdir()) < 6.5e6
    for other in (pickle.loads(pickle.dumps(predictor)), deepcopy(predictor)):
        assert torch.equal(other.predict([image])[0], expected)
        assert other.name == predictor.name


def test_an_editor_is_refused_beside_a_network_of_its_own(folder, editor):
    with pytest.raises(ValueError, match="`editor` goes with readouts"):
        SaliencyPredictor.from_pretrained(folder, editor=editor)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.clear(),
        lambda d: d.update(resolution=10**9),
        lambda d: d.update(resolution=31),
        lambda d: d.update(resolution="64"),
        lambda d: d.update(resolution=True),
        lambda d: d.update(network="resnet"),
        lambda d: d.update(stranger=1),
    ],
    ids=range(7),
)
def test_a_broken_description_is_a_value_error_with_its_path(folder, change):
    path = folder / "augsal_gaze.json"
    description = json.loads(path.read_text())
    change(description)
    path.write_text(json.dumps(description))
    with pytest.raises(ValueError, match="augsal_gaze"):
        SaliencyPredictor.from_pretrained(folder)


def test_broken_weights_are_named(folder, tmp_path_factory):
    path, name = folder / "augsal_gaze.safetensors", "readout.2.bias"
    weights = {key: tensor.clone() for key, tensor in load_file(path).items()}
    for wrong, words in (
        ({name: torch.full_like(weights[name], torch.nan)}, r"readout\.2\.bias .*not finite"),
        ({name: torch.zeros(2)}, r"readout\.2\.bias is \(2,\)"),
        ({"stranger": torch.zeros(2)}, "unexpected stranger"),
    ):
        save_file({**weights, **wrong}, path)
        with pytest.raises(ValueError, match=words):
            SaliencyPredictor.from_pretrained(folder)
    path.write_bytes(b"\x80\x02}q\x00.")  # a pickle
    with pytest.raises(ValueError, match="must be a whole safetensors file"):
        SaliencyPredictor.from_pretrained(folder)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"has no augsal_gaze\.safetensors"):
        SaliencyPredictor.from_pretrained(folder)
    outside = tmp_path_factory.mktemp("outside") / "augsal_gaze.safetensors"
    save_file(weights, outside)
    path.symlink_to(outside)
    with pytest.raises(ValueError, match="leads out of"):
        SaliencyPredictor.from_pretrained(folder)
