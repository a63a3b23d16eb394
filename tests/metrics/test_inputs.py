import math
from itertools import chain

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from augsal_transforms.metrics import METRICS, auc_borji, auc_tuebingen, cc, ig, kld, nss, sauc, sim
from augsal_transforms.metrics.inputs import read_once
from augsal_transforms.metrics.presets import PRESETS, find_preset

RAMP = torch.tensor([[1.0, 2.0, 3.0, 6.0]])
TRUTH = torch.tensor([[0.0, 1.0, 1.0, 2.0]])
FIXATIONS = torch.tensor([[0, 0, 1, 2]])
OTHERS = torch.tensor([[2, 1, 0, 0]])
TRUTHS = {"saliency_map": TRUTH, "fixation_map": FIXATIONS, "other_map": OTHERS, "baseline": TRUTH + 1}


def score(name, prediction, preset="tuebingen", **truths):
    return METRICS[name].score(prediction, {**TRUTHS, **truths}, preset=preset)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("factor", [2.0**-900, 1e-200, 1e-30, 1e30, 1e200, 2.0**900])
def test_no_metric_depends_on_the_prediction_s_scale(name, factor):
    """Squares and sums of such maps leave the range of doubles."""
    assert score(name, RAMP.double() * factor).item() == pytest.approx(score(name, RAMP).item(), rel=1e-12)


@pytest.mark.parametrize("name", ["cc", "nss", "auc_judd", "auc_tuebingen", "auc_borji", "sauc"])
def test_what_only_compares_values_takes_logits_and_log_densities(name):
    # NSS and CC of x and x − 9 are equal; the AUCs depend on the order alone.
    assert score(name, RAMP - 9).item() == pytest.approx(score(name, RAMP).item(), rel=1e-12)
    if name not in ("cc", "nss"):
        assert score(name, (RAMP / 12).log()).item() == score(name, RAMP).item()


def test_auc_takes_minus_infinity_for_a_density_of_zero():
    # log of 0, 1, 2, 3: the value at rank 3 of 4 beats two and ties with itself, 2.5 / 4; the highest 3.5 / 4.
    log_density = torch.tensor([[0.0, 1.0, 2.0, 3.0]]).log()
    assert auc_tuebingen(log_density, FIXATIONS).item() == pytest.approx((2.5 + 2 * 3.5) / 12)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", ["sim", "kld", "ig"])
def test_what_needs_a_density_refuses_negative_predictions(name, preset):
    if PRESETS[preset].minmax and name != "kld":
        # By the preset's definition the minimum is subtracted first: any offset gives the same.
        assert score(name, RAMP - 9, preset).item() == pytest.approx(score(name, RAMP, preset).item(), rel=1e-12)
        return
    for negative in (RAMP - 9, RAMP - 3, (RAMP / 12).log(), RAMP - 1.001):
        with pytest.raises(ValueError, match=r"`prediction` must not be negative here.*sigmoid.*exp"):
            score(name, negative, preset)
    with pytest.raises(ValueError, match="`prediction` must not be negative"):
        score(name, torch.stack([RAMP, -RAMP]), preset, **{n: t.expand(2, 1, 4) for n, t in TRUTHS.items()})


@pytest.mark.parametrize("metric", [sim, kld])
def test_a_negative_ground_truth_is_refused_by_its_name(metric):
    with pytest.raises(ValueError, match="`saliency_map` must not be negative"):
        metric(RAMP, TRUTH - 1)
    with pytest.raises(ValueError, match="`baseline` must not be negative"):
        ig(RAMP, FIXATIONS, -TRUTH)


def test_rounding_below_zero_is_no_negative_prediction():
    # Shares 0, 1/6, 2/6, 3/6 beside 0, 1/4, 1/4, 1/2: 1/6 + 1/4 + 1/2.
    rounded = torch.tensor([[-1e-9, 1.0, 2.0, 3.0]])
    assert sim(rounded, TRUTH).item() == pytest.approx(11 / 12, abs=1e-8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_a_constant_map_stays_constant_through_resizing(dtype, mode):
    resized = F.interpolate(torch.full((1, 1, 100, 120), 0.7, dtype=dtype), (64, 101), mode=mode, antialias=True)[0, 0]
    assert resized.max() > resized.min()  # rounding
    fixations = torch.zeros(64, 101)
    fixations[5, 6] = 1
    assert cc(resized, torch.rand(64, 101, generator=torch.Generator().manual_seed(0))).isnan()
    assert nss(resized, fixations).isnan()
    assert auc_tuebingen(resized, fixations).item() == 0.5


def test_a_small_contrast_is_no_rounding():
    # Order 0, 1, 2, 3 above an offset: the deviation of four equal steps is √1.25 steps.
    for prediction in (1 + RAMP.double() * 1e-9, 100 + torch.tensor([[0.0, 1.0, 2.0, 3.0]]) / 100):
        assert auc_tuebingen(prediction, FIXATIONS).item() == pytest.approx((2.5 + 2 * 3.5) / 12)
    steps = torch.tensor([[7, 8, 9, 10]], dtype=torch.uint8)
    assert nss(steps, torch.tensor([[0, 0, 0, 1]])).item() == pytest.approx(1.5 / 1.25**0.5)


@pytest.mark.parametrize("name", [n for n, metric in METRICS.items() if "fixation_map" in metric.needs])
@pytest.mark.parametrize(
    ("fixation_map", "shown"),
    [
        (torch.tensor([[0.1, 0.5, 1.0, 0.5]]), "got 0.1"),  # a blurred map
        (torch.tensor([[0, -1, 0, 2]]), "got -1"),
        (torch.tensor([[0, torch.nan, 0, 2]]), "got nan"),
        (torch.tensor([[0, torch.inf, 0, 2]]), "got inf"),
        (FIXATIONS / 255, "got 0.00392157"),  # 1 of an 8-bit picture that was divided by 255
    ],
)
def test_fixation_maps_count(name, fixation_map, shown):
    with pytest.raises(ValueError, match=f"`fixation_map` must count fixations.*{shown}"):
        score(name, RAMP, fixation_map=fixation_map)


def test_other_images_fixations_are_counts_too_and_may_be_many():
    with pytest.raises(ValueError, match="`other_map` must count fixations"):
        sauc(RAMP, FIXATIONS, TRUTH / 2)
    many = torch.arange(64).view(8, 8)
    one = torch.zeros(8, 8)
    one[7, 7] = 1
    # The fixation is at 63; the others are at 1, …, 63, each as often as its value. It is above all but 63, a tie.
    assert sauc(many, one, many).item() == pytest.approx(1 - 63 / 2 / (63 * 64 / 2))


def test_a_blurred_map_in_eight_bits_is_no_fixation_map():
    y, x = torch.meshgrid(torch.arange(48.0), torch.arange(64.0), indexing="ij")
    blurred = (255 * (-((x - 30) ** 2 + (y - 20) ** 2) / 200).exp()).to(torch.uint8)
    with pytest.raises(
        ValueError, match=r"`fixation_map` must count the fixations of one image, got 153 different values"
    ):
        nss(blurred, blurred)


def test_many_fixations_on_few_pixels_are_counts():
    """8,000 fixations around the centre of an image, counted on 16×16 pixels."""
    points = (torch.randn(8000, 2, generator=torch.Generator().manual_seed(0)) * 2 + 8).long().clamp(0, 15)
    counts = torch.bincount(points[:, 1] * 16 + points[:, 0], minlength=16 * 16).view(16, 16)
    assert counts.max() > 255
    assert len(counts.unique()) > 60
    assert nss(counts, counts) > 0


def test_a_batch_may_have_more_counts_together_than_one_image():
    counts = torch.zeros(199, 1, 4, dtype=torch.long)
    counts[:, 0, 3] = torch.arange(1, 200)
    # The ramp's last value in its deviations: mean 3, variance (4 + 1 + 0 + 9) / 4.
    assert nss(RAMP.expand(199, 1, 4), counts).tolist() == pytest.approx([3 / 3.5**0.5] * 199)


def test_fixations_drawn_in_white_count_as_ones():
    for name in ("nss", "auc_judd", "auc_tuebingen", "auc_borji", "sauc", "ig"):
        white, ones = torch.tensor([[0, 255, 0, 255]], dtype=torch.uint8), torch.tensor([[False, True, False, True]])
        assert score(name, RAMP, fixation_map=white).item() == pytest.approx(
            score(name, RAMP, fixation_map=ones).item(), rel=1e-12
        )


def test_a_single_pixel_is_undefined_and_no_warning():
    for preset in PRESETS:
        assert nss(torch.ones(1, 1), torch.ones(1, 1), preset=preset).isnan()


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize(
    ("prediction", "error", "words"),
    [
        (RAMP.numpy(), TypeError, "`prediction` must be a tensor, got ndarray"),
        (None, TypeError, "`prediction` must be a tensor, got NoneType"),
        (RAMP.to_sparse(), TypeError, "`prediction` must be a dense tensor"),
        (RAMP.to(torch.complex64), TypeError, "`prediction` must be a dense tensor of real numbers"),
        (RAMP[0], ValueError, r"`prediction` must be \(..., H, W\) and not empty, got \(4,\)"),
        (RAMP[:, :0], ValueError, r"not empty, got \(1, 0\)"),
        (RAMP[None][:0], ValueError, r"not empty, got \(0, 1, 4\)"),
    ],
)
def test_what_is_no_prediction_is_refused(name, prediction, error, words):
    with pytest.raises(error, match=words):
        score(name, prediction)


def test_ground_truth_and_seed_are_checked_by_name():
    with pytest.raises(TypeError, match="`saliency_map` must be a tensor, got ndarray"):
        cc(RAMP, np.ones((1, 4)))
    with pytest.raises(ValueError, match=r"`baseline` must be shaped like `prediction`.*got \(4, 1\)"):
        ig(RAMP, FIXATIONS, torch.ones(4, 1))
    with pytest.raises(TypeError, match="`seed` must be an int, got str"):
        auc_borji(RAMP, FIXATIONS, seed="0")


DTYPES = [
    torch.bool,
    torch.uint8,
    torch.int16,
    torch.int64,
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
]
BOUNDS = {"cc": (-1, 1), "sim": (0, 1), "kld": (-1e-9, 1e3), "nss": (-40, 40), "ig": (-math.inf, math.inf)}


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_map_gets_a_score_in_its_range_or_a_reason(data):
    """Shapes, types, ranges, non-finite values; a reason names an argument."""
    shape = data.draw(st.lists(st.integers(1, 3), max_size=2)) + data.draw(
        st.lists(st.integers(1, 5), min_size=2, max_size=2)
    )
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 99)))

    def draw(low, high):
        values = torch.rand(shape, generator=generator, dtype=torch.float64) * (high - low) + low
        if data.draw(st.integers(0, 9)) == 0:
            values.view(-1)[0] = data.draw(st.sampled_from([torch.nan, torch.inf, -torch.inf]))
            return values
        return values.to(data.draw(st.sampled_from(DTYPES)))

    ranges = st.sampled_from([(0, 1), (0, 255), (-30, -1), (-3, 3), (0, 1e-300), (0, 1e300), (5, 5)])
    truths = {
        "saliency_map": draw(*data.draw(ranges)),
        "baseline": draw(*data.draw(ranges)),
        "fixation_map": draw(*data.draw(st.sampled_from([(0, 1), (0, 3)]))).double().round(),
        "other_map": torch.randint(0, 9, shape, generator=generator),
    }
    prediction = draw(*data.draw(ranges))
    preset = data.draw(st.sampled_from(list(PRESETS)))
    for name, metric in METRICS.items():
        try:
            scores = metric.score(prediction, truths, preset=preset)
        except ValueError as error:
            reason = str(error)
        else:
            reason = ""
        assert not reason or any(f"`{argument}`" in reason for argument in ("prediction", *metric.needs))
        if reason:
            continue
        assert scores.shape == torch.Size(shape[:-2])
        assert scores.dtype == torch.float64
        by_pixel = name == "auc_judd" and PRESETS[preset].judd == "pixel"  # MATLAB's curve may leave the square
        low, high = (-math.inf, math.inf) if by_pixel else BOUNDS.get(name, (0, 1))
        assert bool((scores.isnan() | ((scores >= low - 1e-9) & (scores <= high + 1e-9))).all()), name


class Sorts(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += function._schema.name in ("aten::sort", "aten::argsort")
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("preset", PRESETS)
def test_reading_once_changes_no_bit_of_a_score_and_sorts_an_exact_map_once(preset):
    generator = torch.Generator().manual_seed(0)
    cases = []
    for _ in range(2):  # two images in one block, whose maps must not be taken for each other's
        maps = {
            "saliency_map": torch.rand(6, 8, generator=generator),
            "fixation_map": torch.randint(0, 3, (6, 8), generator=generator),
            "other_map": torch.randint(0, 5, (6, 8), generator=generator),
            "baseline": torch.rand(6, 8, generator=generator),
        }
        cases.append((torch.rand(6, 8, generator=generator), maps))
    scores = [[row.score(p, maps, preset=preset) for row in METRICS.values()] for p, maps in cases]
    with read_once(), Sorts() as sorts:
        again = [[row.score(p, maps, preset=preset) for row in METRICS.values()] for p, maps in cases]
    assert all(map(torch.equal, chain(*scores), chain(*again)))
    assert sorts.count <= 2 * (1 if find_preset(preset).thresholds is None else 3)
