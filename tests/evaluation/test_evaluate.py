import json
import math
import shutil
from functools import partial

import PIL.Image
import pytest
import torch
from torchvision.transforms.v2.functional import pil_to_tensor, to_pil_image

from augsal_transforms import metrics
from augsal_transforms.data.fixations import FixatedFolder, count_fixations
from augsal_transforms.data.images import to_saliency_map
from augsal_transforms.evaluation.evaluate import evaluate
from augsal_transforms.evaluation.leave_one_out import LeaveOneOut, read_sample, scale_counts, to_density
from augsal_transforms.evaluation.models import (
    UnreadablePredictionError,
    load_model,
    load_predictor,
    read_predictions,
    run_model,
)
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


def leave_one_out(dataset):
    sums = LeaveOneOut()
    for index in range(len(dataset.names)):
        sample = read_sample(dataset, index)
        sums.add(sample.saliency_map, sample.fixation_map)
    return sums


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
        "ig": metrics.ig(p, counts[1], to_density(maps[0]) + to_density(maps[1]), preset=preset),
    }
    assert scores == pytest.approx({metric: value.item() for metric, value in expected.items()}, abs=1e-9, nan_ok=True)
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
    assert "images could not be read" not in result.table()
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
    assert "ig is infinite for 1 of 3 images (−inf for 1, +inf for 0): −inf where the prediction is 0" in result.table()
    with_eps = evaluate(run_model(corner), dataset, preset="mit_matlab")
    assert math.isfinite(with_eps.mean("ig")[0])
    assert "infinite" not in with_eps.table()


def test_a_single_image_has_no_others(folder):
    dataset = Samples(alone=[[1, 1]])
    result = evaluate(run_model(luminance), dataset)
    assert result.mean("sauc")[1] == result.mean("ig")[1] == 1
    assert result.mean("nss")[1] == 0


def test_others_are_scaled_to_the_image_s_size():
    dataset = Samples(one=[[1, 1], [5, 3]], two=[[5, 3]], three=[[2, 2], [11, 7]])
    others = leave_one_out(dataset)
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
    with pytest.raises(ValueError, match=f"no prediction of 1 of 3 images. The first is '{dataset.names[1]}'"):
        read_predictions(tmp_path, dataset.names)
    to_pil_image(torch.zeros(1, 4, 4)).save(tmp_path / f"{dataset.names[0]}.jpg")
    with pytest.raises(ValueError, match="are both predictions of"):
        read_predictions(tmp_path, dataset.names)


def test_a_model_is_the_bundled_predictor_or_any_function(tmp_path, monkeypatch):
    image = torch.rand(3, 40, 48, generator=torch.Generator().manual_seed(0))
    assert load_model("bundled")(image).shape == (1, 40, 48)
    (tmp_path / "my_model.py").write_text("def luminance(image):\n    return image.mean(0, keepdim=True)\n")
    (tmp_path / "my_predictor.py").write_text(
        "class Doubled:\n    def predict(self, images):\n        return [2 * image[:1] for image in images]\n"
        "model = Doubled()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert torch.equal(load_model("my_model:luminance")(image), luminance(image))
    assert torch.allclose(load_model("my_predictor:model")(image), image[:1] / image[:1].max())
    assert load_predictor("my_predictor:model").predict([image])[0].shape == (1, 40, 48)
    with pytest.raises(TypeError, match="must have a method `predict"):
        load_predictor("my_model:luminance")
    with pytest.raises(ValueError, match="the module 'my_model' has no function 'chrominance'"):
        load_model("my_model:chrominance")
    with pytest.raises(ValueError, match="there is no module 'no_model'"):
        load_model("no_model:luminance")


def test_a_function_sees_floats_whatever_is_stored(dataset):
    seen = []

    def model(image):
        seen.append((image.dtype, image.max().item() <= 1))
        return luminance(image)

    evaluate(run_model(model), dataset)
    assert seen == [(torch.float32, True)] * 3


class Broken(Samples):
    """The second image cannot be read: ``error`` is raised for it."""

    def __init__(self, error, **fixations):
        super().__init__(**fixations)
        self.error = error

    def __getitem__(self, index):
        if index == 1:
            raise self.error
        return super().__getitem__(index)


def test_an_image_that_cannot_be_read_costs_itself_and_is_named():
    points = {"one": [[0, 0]], "two": [[1, 1]], "three": [[1, 1]]}
    result = evaluate(run_model(luminance), Broken(SyntaxError("not a PNG file"), **points))
    assert list(result.scores) == ["one", "three"]
    assert result.failures == {"two": "SyntaxError: not a PNG file"}
    assert result.fixations == 2
    # Neither its fixations nor its map are among the other images' of "one": of 8 × 12 pixels, (1, 1) is (0, 0).
    assert result.scores["one"]["sauc"] == 0.5
    assert "1 images could not be read and were left out:\n  two: SyntaxError: not a PNG file" in result.table()
    assert json.loads(result.to_json())["failures"] == result.failures


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ImportError("scipy"), KeyboardInterrupt()])
def test_what_is_no_image_s_fault_ends_the_evaluation(error):
    with pytest.raises(type(error)):
        evaluate(run_model(luminance), Broken(error, one=[[0, 0]], two=[[1, 1]], three=[[1, 1]]))


def test_where_no_image_can_be_read_the_first_reason_is_given():
    class Unreadable(Samples):
        def __getitem__(self, index):
            raise ValueError(f"{index}.png is not a readable image")

    words = r"None of the 2 images of data can be scored. The first, 'a': ValueError: 0\.png"
    with pytest.raises(ValueError, match=words):
        evaluate(run_model(luminance), Unreadable(a=[], b=[]))


def test_a_data_set_without_images_is_no_result():
    with pytest.raises(ValueError, match="data has no image to score"):
        evaluate(run_model(luminance), Samples())


class OwnError(Exception):
    """An error that only a user's own code knows."""


@pytest.mark.parametrize("error", [OwnError(), ValueError("x"), RuntimeError("x"), OSError("x")])
def test_an_error_of_the_user_s_own_model_reaches_the_user_as_it_is(error):
    def model(image):
        raise error

    with pytest.raises(type(error)) as raised:
        evaluate(run_model(model), Samples(one=[[0, 0]], two=[[1, 1]]))
    assert raised.value is error
    assert any(entry.name == "model" for entry in raised.traceback)


@pytest.mark.parametrize(
    ("prediction", "error", "words"),
    [
        (torch.rand(1, 1, 4, 6), ValueError, r"must be one map \(1, h, w\), got \(1, 1, 4, 6\).*take \[0\] of a batch"),
        (torch.rand(4, 6), ValueError, r"got \(4, 6\)"),
        (torch.rand(3, 4, 6), ValueError, r"got \(3, 4, 6\)"),
        (torch.rand(1, 0, 6), ValueError, r"got \(1, 0, 6\)"),
        (
            torch.rand(1, 6, 4),
            ValueError,
            r"\(6, 4\) \(h, w\) for an image of \(4, 6\): height and width are exchanged",
        ),
        ([[0.5]], TypeError, "tensor of real numbers .* got list"),
        (torch.ones(1, 4, 6, dtype=torch.complex64), TypeError, "got torch.complex64"),
        (torch.rand(1, 4, 6).log(), ValueError, "must not be negative.* sigmoid to logits, exp to a log density"),
    ],
)
def test_predictions_that_are_no_map_are_refused_by_name(prediction, error, words):
    with pytest.raises(error, match=f"`prediction`.*{words}"):
        evaluate(lambda *_: prediction, Samples(one=[[0, 0]], two=[[1, 1]]))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.float16, torch.bfloat16, torch.float64])
def test_predictions_of_any_type_and_size_are_scored_in_double(dtype):
    coarse = torch.tensor([[[0, 1, 2], [3, 4, 5]]])
    dataset = Samples(one=[[5, 3]], two=[[0, 0]])
    expected = evaluate(lambda *_: coarse.double(), dataset)
    result = evaluate(lambda *_: coarse.to(dtype), dataset)
    for name, scores in expected.scores.items():
        assert result.scores[name] == pytest.approx(scores, rel=0, abs=0, nan_ok=True)
    # Enlarged twice, the coarse ramp is highest in the last corner: the fixation there beats 23 pixels and ties one.
    assert result.scores["one"]["auc_tuebingen"] == pytest.approx(23.5 / 24)


def test_a_constant_prediction_of_another_size_is_constant():
    result = evaluate(lambda *_: torch.full((1, 100, 120), 0.7), Samples(one=[[0, 0]], two=[[1, 1]]))
    assert result.mean("nss")[1] == result.mean("cc")[1] == 2
    assert result.mean("auc_tuebingen") == (0.5, 0)


def test_fixations_outside_the_image_are_left_out_and_counted():
    class Floats(Samples):
        def fixations(self, name):
            return torch.tensor(self.points[name])

    inside = [[0.5, 0.5], [5.9, 3.9]]
    outside = [[6.0, 1.0], [1.0, 4.0], [-0.1, 2.0], [torch.nan, 1.0]]
    expected = evaluate(run_model(ramp), Samples(one=[[0, 0], [5, 3]], two=[[1, 1]]))
    result = evaluate(run_model(ramp), Floats(one=inside + outside, two=[[1.5, 1.5]]))
    for name, scores in expected.scores.items():
        assert result.scores[name] == pytest.approx(scores, rel=0, abs=0, nan_ok=True)
    assert (result.fixations, result.left_out) == (3, 4)
    assert "4 fixations outside their image, or without coordinates, were left out" in result.table()


def test_a_data_set_may_count_what_it_left_out():
    class Placing(Samples):
        def placed(self, name):
            return self.fixations(name), 2

    def unreadable_second(name, image):
        if name == "two":
            raise UnreadablePredictionError("cut off")
        return ramp(image)

    dataset = Placing(one=[[0, 0]], two=[[1, 1]])
    assert evaluate(run_model(ramp), dataset).left_out == 4
    assert evaluate(unreadable_second, dataset).left_out == 2  # of the images that were scored, as `fixations`


@pytest.mark.parametrize(
    ("points", "words"),
    [([[0.2, 0.7], [0.5, 0.5]], "must be in pixels"), ([[1.0, 2.0, 3.0]], r"must be \(N, 2\).*\(1, 3\)")],
)
def test_what_are_no_points_in_pixels_is_refused(points, words):
    class Wrong(Samples):
        def fixations(self, name):
            return torch.tensor(points)

    with pytest.raises(ValueError, match=f"`fixations` {words}"):
        evaluate(run_model(ramp), Wrong(one=[], two=[]))


def ramp(image):
    return torch.arange(float(image[0].numel())).view(1, *image.shape[-2:])


def test_predictions_are_found_by_the_end_of_their_path(tmp_path):
    names = ["Action/001", "Art/001"]
    for category, value in (("Action", 0.2), ("Art", 0.6)):
        (tmp_path / "trainSet" / category).mkdir(parents=True)
        to_pil_image(torch.full((1, 2, 3), value)).save(tmp_path / "trainSet" / category / "001.png")
    predict = read_predictions(tmp_path, names)
    assert [round(predict(name, torch.zeros(3, 4, 6)).mean().item(), 2) for name in names] == [0.2, 0.6]
    with pytest.raises(ValueError, match=r"The first is 'Fractal/001', whose file is to be Fractal/001.png"):
        read_predictions(tmp_path, [*names, "Fractal/001"])
    with pytest.raises(ValueError, match=r"Art/001\.png and .*Action/001\.png are both predictions of '001'"):
        read_predictions(tmp_path, ["001"])


def test_predictions_are_found_whatever_the_spelling_of_accents(tmp_path):
    to_pil_image(torch.ones(1, 2, 3)).save(tmp_path / "caf\u0065\u0301.png")
    assert read_predictions(tmp_path, ["caf\u00e9"])("caf\u00e9", torch.zeros(3, 2, 3)).shape == (1, 2, 3)


def test_where_predictions_are_missing_what_is_there_is_shown(tmp_path):
    with pytest.raises(FileNotFoundError, match="is not a folder of predictions"):
        read_predictions(tmp_path / "nowhere", ["a"])
    with pytest.raises(ValueError, match=r"has no prediction of 1 of 1 images.*no image file is there"):
        read_predictions(tmp_path, ["a"])
    to_pil_image(torch.ones(1, 2, 3)).save(tmp_path / "a_pred.png")
    with pytest.raises(ValueError, match=r"whose file is to be a\.png.*the first file there is a_pred\.png"):
        read_predictions(tmp_path, ["a"])


def test_a_damaged_prediction_costs_its_image(tmp_path):
    dataset = Samples(one=[[0, 0]], two=[[1, 1]])
    to_pil_image(ramp(torch.zeros(3, 4, 6)) / 24).save(tmp_path / "one.png")
    (tmp_path / "two.png").write_bytes(b"<html>")
    result = evaluate(read_predictions(tmp_path, dataset.names), dataset)
    assert list(result.scores) == ["one"]
    assert "its prediction, " in result.failures["two"]
    assert "two.png is not a readable image" in result.failures["two"]


def test_a_metric_of_one_s_own_is_scored_and_reported(monkeypatch):
    def peak(prediction, saliency_map, *, preset):
        return prediction.amax((-2, -1)).double()

    row = metrics.Metric(title="Peak", function=peak, needs=("saliency_map",), definition="highest predicted value")
    monkeypatch.setitem(metrics.METRICS, "peak", row)
    result = evaluate(run_model(ramp), Samples(one=[[0, 0]], two=[[1, 1]]))
    assert result.mean("peak") == (23.0, 0)
    assert "peak          ↑  23.0000  highest predicted value" in result.table()
    assert json.loads(result.to_json())["metrics"]["peak"]["definition"] == "highest predicted value"


def test_a_mistaken_preset_is_found_before_anything_is_read():
    with pytest.raises(ValueError, match="`preset` must be one of"):
        evaluate(run_model(ramp), Broken(KeyboardInterrupt(), one=[], two=[]), preset="mit")


def halved(folder, tmp_path):
    """The data set with its images and maps at half size, as a user shrinks them; the fixations stay as recorded."""
    small = tmp_path / "small"
    shutil.copytree(folder, small)
    for path in [*(small / "images").rglob("*.*"), *(small / "maps").rglob("*.*")]:
        with PIL.Image.open(path) as picture:
            smaller = picture.resize((24, 24))
        smaller.save(path)
    return small


def test_fixations_of_another_frame_are_never_scored_silently(folder, tmp_path):
    small = halved(folder, tmp_path)
    with pytest.raises(ValueError, match=r"can be scored.*frame of \(48, 48\) \(H, W\), its image has \(24, 24\)"):
        evaluate(run_model(luminance), FixatedFolder(small, "val"))


def test_fixations_of_another_frame_are_scaled_when_asked(folder, tmp_path):
    small, full = FixatedFolder(halved(folder, tmp_path), "val", frame="scale"), FixatedFolder(folder, "val")
    result = evaluate(run_model(luminance), small)
    name = full.names[0]
    expected = count_fixations(full.fixations(name) // 2, (24, 24))  # halves of whole pixels, rounded down
    prediction = luminance(as_floats(small[0]["image"]))
    assert result.scores[name]["nss"] == pytest.approx(metrics.nss(prediction, expected).item(), abs=1e-12)
    assert result.fixations == evaluate(run_model(luminance), full).fixations


def test_one_image_whose_fixations_cannot_be_read_costs_itself(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    dataset = FixatedFolder(copy, "val")
    dataset.images[dataset.names[0]].write_bytes(b"no image")
    result = evaluate(run_model(luminance), dataset)
    assert list(result.scores) == dataset.names[1:]
    assert list(result.failures) == dataset.names[:1]
    assert "is not a readable image" in result.failures[dataset.names[0]]


@pytest.fixture(scope="module")
def stored(folder, tmp_path_factory):
    """Predictions of the scenes, the last of which is damaged."""
    out, names = tmp_path_factory.mktemp("stored"), FixatedFolder(folder, "val").names
    for n, name in enumerate(names):
        to_pil_image(torch.rand(1, 20, 30, generator=torch.Generator().manual_seed(n))).save(out / f"{name}.png")
    (out / f"{names[2]}.png").write_bytes(b"cut off")
    return out


@pytest.mark.parametrize("start", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_scores_and_failures_are_the_same_to_the_bit_with_several_workers(start, folder, stored, monkeypatch):
    dataset = FixatedFolder(folder, "val")
    predict = read_predictions(stored, dataset.names)
    expected = evaluate(predict, dataset)
    default = torch.utils.data.DataLoader
    context = partial(default, multiprocessing_context=start)
    monkeypatch.setattr("augsal_transforms.workers.DataLoader", context)
    result = evaluate(predict, dataset, workers=2)
    assert list(result.failures) == [dataset.names[2]]
    assert result.to_json() == expected.to_json()


def test_a_model_predicts_in_this_process_whatever_the_number_of_workers(dataset):
    seen = []

    def model(image):
        seen.append(image.shape)
        return luminance(image)

    result = evaluate(run_model(model), dataset, workers=2)
    assert len(seen) == 3
    assert result.to_json() == evaluate(run_model(model), dataset).to_json()


def test_errors_reach_the_user_from_workers_as_from_one_process():
    points = {"one": [[0, 0]], "two": [[1, 1]], "three": [[1, 1]]}
    broken = Broken(SyntaxError("not a PNG file"), **points)
    assert evaluate(run_model(ramp), broken, workers=2).failures == {"two": "SyntaxError: not a PNG file"}
    with pytest.raises(ValueError, match=r"`prediction`.*must not be negative"):
        evaluate(lambda *_: torch.rand(1, 4, 6).log(), Samples(**points), workers=2)
    with pytest.raises(ImportError, match="scipy"):
        evaluate(run_model(ramp), Broken(ImportError("scipy"), **points), workers=2)
    with pytest.raises(ValueError, match="`workers` must be 1 or more, got 0"):
        evaluate(run_model(ramp), Samples(**points), workers=0)
