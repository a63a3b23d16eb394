import json
import math

import pytest
import torch
from torchvision.transforms.v2.functional import pil_to_tensor, to_pil_image

from augsal_transforms import metrics
from augsal_transforms.data.fixations import FixatedFolder, count_fixations
from augsal_transforms.data.images import to_saliency_map
from augsal_transforms.evaluation.evaluate import evaluate
from augsal_transforms.evaluation.leave_one_out import OtherImages, density, scale_counts
from augsal_transforms.evaluation.models import load_model, read_predictions, run_model
from augsal_transforms.metrics import PRESETS, definitions
from augsal_transforms.scenes.writer import write_scenes


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    write_scenes(folder, 3, split="val", seed=5, size=48)
    return folder


@pytest.fixture
def dataset(folder):
    return FixatedFolder(folder, "val")


class Samples:
    """Images of any sizes with fixations: what ``evaluate`` asks of a data set."""

    def __init__(self, **fixations):
        self.names = list(fixations)
        self.points = fixations
        self.sizes = [(4, 6), (4, 6), (8, 12)]

    def __getitem__(self, index):
        height, width = self.sizes[index]
        ramp = torch.linspace(0, 1, height * width).view(1, height, width)
        return {"image": torch.rand(3, height, width), "saliency_map": ramp if index else 1 - ramp}

    def fixations(self, name):
        return torch.tensor(self.points[name], dtype=torch.long).view(-1, 2)


def as_floats(image):
    return pil_to_tensor(image).float() / 255


def luminance(image):
    return image.mean(0, keepdim=True)


@pytest.mark.parametrize("preset", PRESETS)
def test_each_image_has_the_metrics_of_its_own_maps(dataset, preset):
    result = evaluate(run_model(luminance), dataset, preset=preset)
    assert list(result.scores) == dataset.names
    sample, name = dataset[1], dataset.names[1]
    image = as_floats(sample["image"])
    truth = to_saliency_map(sample["saliency_map"], (48, 48))
    counts = [count_fixations(dataset.fixations(n), (48, 48)) for n in dataset.names]
    maps = [to_saliency_map(dataset[n]["saliency_map"], (48, 48)) for n in (0, 2)]
    p, scores = luminance(image), result.scores[name]
    expected = {
        "cc": metrics.cc(p, truth, preset=preset),
        "kld": metrics.kld(p, truth, preset=preset),
        "sim": metrics.sim(p, truth, preset=preset),
        "nss": metrics.nss(p, counts[1], preset=preset),
        "auc_judd": metrics.auc_judd(p, counts[1], preset=preset),
        "auc_tuebingen": metrics.auc_tuebingen(p, counts[1], preset=preset),
        "auc_borji": metrics.auc_borji(p, counts[1], seed=1, preset=preset),
        "sauc": metrics.sauc(p, counts[1], counts[0] + counts[2], preset=preset),
        "ig": metrics.ig(p, counts[1], density(maps[0]) + density(maps[1]), preset=preset),
    }
    assert scores == pytest.approx({metric: value.item() for metric, value in expected.items()}, abs=1e-9)
    assert set(definitions(preset)) == set(scores)


def test_means_leave_out_what_is_undefined_and_count_it():
    dataset = Samples(seen=[[1, 1], [2, 3]], unseen=[], large=[[3, 3]])
    result = evaluate(run_model(luminance), dataset, edition="2017")
    assert result.fixations == 3
    assert result.mean("cc")[1] == 0
    value, undefined = result.mean("nss")
    assert undefined == 1
    assert value == pytest.approx((result.scores["seen"]["nss"] + result.scores["large"]["nss"]) / 2)
    assert "undefined for 1; mean at fixations" in result.table()
    stored = json.loads(result.to_json())
    assert stored["images"]["unseen"]["nss"] is None
    assert stored["metrics"]["nss"]["undefined"] == 1
    assert stored["edition"] == "2017"
    for metric, definition in definitions("tuebingen").items():
        assert stored["metrics"][metric]["definition"] == definition
        assert definition in result.table()


def test_what_is_infinite_stays_so():
    dataset = Samples(one=[[0, 0]], two=[[1, 1]], three=[[1, 1]])

    def corner(image):
        prediction = torch.ones(1, *image.shape[-2:])
        prediction[0, 0, 0] = 0
        return prediction

    result = evaluate(run_model(corner), dataset)
    assert result.scores["one"]["ig"] == -math.inf
    assert json.loads(result.to_json())["metrics"]["ig"]["mean"] == "-inf"


def test_a_single_image_has_no_others(folder):
    dataset = Samples(alone=[[1, 1]])
    result = evaluate(run_model(luminance), dataset)
    assert result.mean("sauc")[1] == result.mean("ig")[1] == 1
    assert result.mean("nss")[1] == 0


def test_others_are_scaled_to_the_image_s_size():
    dataset = Samples(one=[[1, 1], [5, 3]], two=[[5, 3]], three=[[2, 2], [11, 7]])
    others = OtherImages(dataset)
    own = count_fixations(dataset.fixations("one"), (4, 6))
    # (2, 2) and (11, 7) of 12 × 8 are (1, 1) and (5, 3) of 6 × 4.
    assert torch.equal(others.fixation_map(own), count_fixations(torch.tensor([[5, 3], [1, 1], [5, 3]]), (4, 6)))
    large = count_fixations(dataset.fixations("three"), (8, 12))
    assert torch.equal(others.fixation_map(large), count_fixations(torch.tensor([[2, 2], [10, 6], [10, 6]]), (8, 12)))
    # A map that falls and one that rises are even together.
    even = others.baseline(to_saliency_map(dataset[2]["saliency_map"], (8, 12)))
    assert even.max() / even.min() == pytest.approx(1)


def test_counts_survive_another_size():
    counts = torch.randint(0, 4, (1, 9, 7), generator=torch.Generator().manual_seed(0))
    for size in ((9, 7), (3, 5), (20, 30)):
        assert scale_counts(counts, size).sum() == counts.sum()
    assert torch.equal(scale_counts(counts, (9, 7)), counts)


def test_stored_predictions_are_read_at_any_size_and_each_must_be_there(dataset, tmp_path):
    for name in dataset.names:
        to_pil_image(torch.linspace(0, 1, 24 * 24).view(1, 24, 24)).save(tmp_path / f"{name}.png")
    result = evaluate(read_predictions(tmp_path, dataset.names), dataset)
    ramp = run_model(lambda image: torch.linspace(0, 1, 24 * 24).view(1, 24, 24))
    for name, scores in evaluate(ramp, dataset).scores.items():
        assert result.scores[name]["cc"] == pytest.approx(scores["cc"], abs=1e-3)
    (tmp_path / f"{dataset.names[1]}.png").unlink()
    with pytest.raises(ValueError, match=f"no prediction of 1 of 3 images, {dataset.names[1]}"):
        read_predictions(tmp_path, dataset.names)
    to_pil_image(torch.zeros(1, 4, 4)).save(tmp_path / f"{dataset.names[0]}.jpg")
    with pytest.raises(ValueError, match="are both predictions of"):
        read_predictions(tmp_path, dataset.names)


def test_a_model_is_the_bundled_predictor_or_any_function(dataset):
    image = torch.rand(3, 40, 48, generator=torch.Generator().manual_seed(0))
    assert load_model("bundled")(image).shape == (1, 40, 48)
    assert torch.equal(load_model("test_evaluate:luminance")(image), luminance(image))
    with pytest.raises(ValueError, match="the module 'test_evaluate' has no function 'chrominance'"):
        load_model("test_evaluate:chrominance")
    with pytest.raises(ValueError, match=r"must give a map \(1, h, w\).*of a.jpg it gave \(3, 40, 48\)"):
        run_model(lambda image: image)("a.jpg", image)


def test_a_function_sees_floats_whatever_is_stored(dataset):
    seen = []

    def model(image):
        seen.append((image.dtype, image.max().item() <= 1))
        return luminance(image)

    evaluate(run_model(model), dataset)
    assert seen == [(torch.float32, True)] * 3
