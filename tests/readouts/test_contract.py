import pytest
import torch

from augsal_transforms.readouts.contract import check_predictor, device_of, predict_maps

IMAGES = [torch.zeros(3, 4, 6, dtype=torch.uint8), torch.zeros(3, 5, 5)]


class Returns:
    """A predictor that returns what it was given."""

    def __init__(self, maps, device=None):
        self.maps = maps
        if device:
            self.device = device

    def predict(self, images):
        return self.maps


def ones(*shapes):
    return [torch.ones(shape) for shape in shapes]


def test_maps_get_a_maximum_of_one_and_zeros_stay_zeros():
    density = torch.full((1, 4, 6), 0.25, dtype=torch.float64)
    density[0, 1, 2] = 0.5
    first, second = predict_maps(check_predictor(Returns([density, torch.zeros(1, 5, 5)])), IMAGES)
    assert (first.dtype, first.max(), first.min()) == (torch.float32, 1, 0.5)
    assert not second.any()


def test_a_batch_of_maps_and_maps_with_gradients_are_taken():
    weight = torch.ones(2, 1, 5, 5, requires_grad=True)
    maps = predict_maps(Returns(weight), [IMAGES[1]] * 2)
    assert not any(saliency_map.requires_grad for saliency_map in maps)


@pytest.mark.parametrize("wrong", ["bundled", None, 3, torch.nn.Identity(), Returns])
def test_what_cannot_predict_is_refused(wrong):
    with pytest.raises(TypeError, match=r"must have a method `predict\(images\)`"):
        check_predictor(wrong)


@pytest.mark.parametrize(
    ("maps", "error", "words"),
    [
        (None, TypeError, "got NoneType"),
        (iter([]), TypeError, "must return a list of maps"),
        (ones((1, 4, 6)), ValueError, "one map per image, 2, got 1"),
        (ones((1, 6, 4), (1, 5, 5)), ValueError, r"\(1, 4, 6\), got \(1, 6, 4\)"),
        (ones((4, 6), (5, 5)), ValueError, r"got \(4, 6\)"),
        ([torch.ones(1, 4, 6).numpy(), torch.ones(1, 5, 5)], TypeError, "got ndarray"),
        ([torch.ones(1, 4, 6, dtype=torch.complex64), torch.ones(1, 5, 5)], TypeError, "complex64"),
        ([torch.full((1, 4, 6), torch.nan), torch.ones(1, 5, 5)], ValueError, "finite maps"),
        ([torch.full((1, 4, 6), torch.inf), torch.ones(1, 5, 5)], ValueError, "finite maps"),
        ([-torch.ones(1, 4, 6), torch.ones(1, 5, 5)], ValueError, r"\[-1, -1\].*softmax"),
    ],
)
def test_wrong_maps_are_refused_with_what_was_got(maps, error, words):
    with pytest.raises(error, match=words):
        predict_maps(Returns(maps), IMAGES)


def test_a_predictor_says_where_it_is_or_counts_as_on_the_cpu():
    assert device_of(Returns([], "cuda:1")) == torch.device("cuda:1")
    assert device_of(Returns([])).type == "cpu"
