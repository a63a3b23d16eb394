"""Metrics against literals of pysaliency and of MIT's published definitions, and against small maps by hand.

The three predictions, the map, the baseline and the fixations below, in NumPy, with which the literals were made
(pysaliency 0.2.22, numpy 2.3.5):

    y, x = np.mgrid[:12, :16]
    tied = (7 * y + 3 * x * x + x * y) % 23 + 1.0
    zeros = tied - 1
    smooth = np.exp(-((x - 7.3) ** 2 + 1.7 * (y - 5.1) ** 2) / 30)
    truth = np.exp(-((x - 9) ** 2 + (y - 4) ** 2) / 20)
    baseline = np.exp(-((x - 7.5) ** 2 + (y - 5.5) ** 2) / 40)
    xs, ys = [9, 9, 8, 10, 3, 12, 7, 9], [4, 4, 5, 3, 9, 6, 4, 5]
    other_xs, other_ys = [2, 14, 7, 7, 5, 11], [1, 10, 6, 6, 8, 5]
    counts, others = np.zeros((12, 16)), np.zeros((12, 16))
    np.add.at(counts, (ys, xs), 1), np.add.at(others, (other_ys, other_xs), 1)
"""

import math

import pytest
import torch

from augsal_transforms import metrics
from augsal_transforms.metrics import auc_borji, auc_judd, auc_tuebingen, cc, ig, kld, nss, sauc, sim
from augsal_transforms.metrics.presets import PRESETS
from augsal_transforms.metrics.table import definitions

Y, X = torch.meshgrid(torch.arange(12.0).double(), torch.arange(16.0).double(), indexing="ij")
TIED = (7 * Y + 3 * X * X + X * Y) % 23 + 1
MAPS = {
    "tied": TIED,
    "zeros": TIED - 1,
    "smooth": (-((X - 7.3) ** 2 + 1.7 * (Y - 5.1) ** 2) / 30).exp(),
}
TRUTH = (-((X - 9) ** 2 + (Y - 4) ** 2) / 20).exp()
BASELINE = (-((X - 7.5) ** 2 + (Y - 5.5) ** 2) / 40).exp()


def counted(xs, ys, size=(12, 16)):
    places = torch.tensor(ys) * size[1] + torch.tensor(xs)
    return torch.bincount(places, minlength=size[0] * size[1]).view(size)


FIXATIONS = counted([9, 9, 8, 10, 3, 12, 7, 9], [4, 4, 5, 3, 9, 6, 4, 5])
OTHERS = counted([2, 14, 7, 7, 5, 11], [1, 10, 6, 6, 8, 5])
ALL = {
    "cc": lambda p, **k: cc(p, TRUTH.expand_as(p), **k),
    "sim": lambda p, **k: sim(p, TRUTH.expand_as(p), **k),
    "kld": lambda p, **k: kld(p, TRUTH.expand_as(p), **k),
    "nss": lambda p, **k: nss(p, FIXATIONS.expand_as(p), **k),
    "auc_judd": lambda p, **k: auc_judd(p, FIXATIONS.expand_as(p), **k),
    "auc_tuebingen": lambda p, **k: auc_tuebingen(p, FIXATIONS.expand_as(p), **k),
    "auc_borji": lambda p, **k: auc_borji(p, FIXATIONS.expand_as(p), **k),
    "sauc": lambda p, **k: sauc(p, FIXATIONS.expand_as(p), OTHERS, **k),
    "ig": lambda p, **k: ig(p, FIXATIONS.expand_as(p), BASELINE, **k),
}

# from pysaliency.metrics import CC, SIM, MIT_KLDiv, NSS
# CC(m, truth), SIM(m, truth), MIT_KLDiv(m, truth), NSS(m, xs, ys).mean()
# class Fixed(pysaliency.SaliencyMapModel):      # returns m for every image
#     def __init__(self, m): super().__init__(); self.m = m
#     def _saliency_map(self, stimulus): return self.m
# stimuli = pysaliency.Stimuli([np.full((12, 16, 3), n, np.uint8) for n in (0, 1)])
# fixations = pysaliency.Fixations.create_without_history(
#     np.r_[xs, other_xs], np.r_[ys, other_ys], np.r_[[0] * 8, [1] * 6])
# auc = Fixed(m).AUC_per_image
# auc(stimuli, fixations)[0], auc(stimuli, fixations, nonfixations="shuffled")[0]
# auc(stimuli, fixations, nonfixations="unfixated", thresholds="fixations")[0]      # AUC_Judd with jitter=False
# class Density(pysaliency.Model):
#     def __init__(self, m): super().__init__(); self.m = np.log(m / m.sum())
#     def _log_density(self, stimulus): return self.m
# Density(m).information_gain(stimuli, fixations[fixations.n == 0], Density(baseline))
PYSALIENCY = {
    ("tied", "cc"): -0.012003022215233715,
    ("tied", "sim"): 0.5597739328303477,
    ("tied", "kld"): 0.6835871876990136,
    ("tied", "nss"): -0.2517353617672603,
    ("tied", "auc_tuebingen"): 0.4267578125,
    ("tied", "sauc"): 0.45833333333333337,
    ("tied", "auc_judd"): 0.4793918918918919,
    ("tied", "ig"): -1.2243102800547563,
    ("zeros", "sim"): 0.549522599956547,
    ("zeros", "kld"): 2.091948402705464,
    ("smooth", "cc"): 0.7873349688955646,
    ("smooth", "sim"): 0.7761517004934361,
    ("smooth", "kld"): 0.16221010605186137,
    ("smooth", "nss"): 1.4704527281963085,
    ("smooth", "auc_tuebingen"): 0.8479817708333333,
    ("smooth", "sauc"): 0.6041666666666667,
    ("smooth", "auc_judd"): 0.8952702702702703,
    ("smooth", "ig"): 0.297563087765176,
}
# The definitions of saliency.mit.edu's MATLAB code (CC, similarity, KLdiv, NSS, AUC_Judd without jitter, InfoGain):
# eps = 2.0**-52
# unit = lambda m: (m - m.min()) / (m.max() - m.min())
# share = lambda m: m / m.sum()
# np.corrcoef(m.ravel(), truth.ravel())[0, 1]
# np.minimum(share(unit(m)), share(unit(truth))).sum()
# (share(truth) * np.log(eps + share(truth) / (share(m) + eps))).sum()
# ((m - m.mean()) / m.std(ddof=1))[counts > 0].mean()
# (np.log2(eps + share(unit(m))) - np.log2(eps + share(unit(baseline))))[counts > 0].mean()
# def curve(tp, fp): return np.trapezoid([0.0, *tp, 1.0], [0.0, *fp, 1.0])
# falling = np.sort(m[counts > 0])[::-1]; n = len(falling)
# curve([(i + 1) / n for i in range(n)], [((m >= t).sum() - (i + 1)) / (m.size - n) for i, t in enumerate(falling)])
# sAUC, thresholds 1, 0.9, …, 0, with all others at once, the mean of AUC_shuffled's splits in the limit:
# t = np.arange(10, -1, -1) / 10
# curve([(unit(m)[counts > 0] >= k).mean() for k in t], [(unit(m)[others > 0] >= k).mean() for k in t])
MATLAB = {
    ("tied", "cc"): -0.01200302221523375,
    ("tied", "sim"): 0.5478600866653809,
    ("tied", "kld"): 0.6835871876990137,
    ("tied", "nss"): -0.22238420852096735,
    ("tied", "auc_judd"): 0.4791505791505791,
    ("tied", "ig"): -1.5423610949260766,
    ("tied", "sauc"): 0.34285714285714286,
    ("zeros", "kld"): 2.091947411946021,
    ("smooth", "cc"): 0.7873349688955651,
    ("smooth", "sim"): 0.7745236985957039,
    ("smooth", "kld"): 0.16221010605186148,
    ("smooth", "nss"): 1.3999283753584961,
    ("smooth", "auc_judd"): 0.8853281853281854,
    ("smooth", "ig"): 0.17723329501070026,
    ("smooth", "sauc"): 0.7142857142857142,
}


@pytest.mark.parametrize(("prediction", "metric"), PYSALIENCY, ids="-".join)
def test_tuebingen_is_what_pysaliency_computes(prediction, metric):
    value = ALL[metric](MAPS[prediction], preset="tuebingen").item()
    assert value == pytest.approx(PYSALIENCY[prediction, metric], rel=0, abs=1e-12)


@pytest.mark.parametrize(("prediction", "metric"), MATLAB, ids="-".join)
def test_mit_matlab_is_what_the_published_code_computes(prediction, metric):
    value = ALL[metric](MAPS[prediction], preset="mit_matlab").item()
    assert value == pytest.approx(MATLAB[prediction, metric], rel=0, abs=1e-12)


def test_augsal_is_mit_matlab_but_for_how_epsilon_is_typed():
    for name in ("cc", "sim", "nss", "auc_judd"):
        assert ALL[name](MAPS["zeros"], preset="augsal") == ALL[name](MAPS["zeros"], preset="mit_matlab")
    # Where the prediction is 0 and the map q, q log(q / ε): the quotient of both ε is 1 + 2.07e-5.
    where_zero = (TRUTH / TRUTH.sum())[MAPS["zeros"] == 0].sum().item()
    gap = ALL["kld"](MAPS["zeros"], preset="augsal") - ALL["kld"](MAPS["zeros"], preset="mit_matlab")
    assert gap.item() == pytest.approx(where_zero * math.log(2.0**-52 / 2.2204e-16), rel=1e-6)


def test_salicon_takes_its_nss_from_all_fixations_and_shuffles_without_the_image_s_own_pixels():
    smooth = MAPS["smooth"]
    assert nss(smooth, FIXATIONS, preset="salicon") == nss(smooth, FIXATIONS, preset="tuebingen")
    both = OTHERS + 5 * FIXATIONS
    alone = sauc(smooth, FIXATIONS, OTHERS, preset="salicon")
    assert sauc(smooth, FIXATIONS, both, preset="salicon") == alone
    assert sauc(smooth, FIXATIONS, both, preset="mit_matlab") != sauc(smooth, FIXATIONS, OTHERS, preset="mit_matlab")


def test_areas_by_hand():
    prediction = torch.tensor([[4.0, 3.0], [2.0, 1.0]])
    fixations = torch.tensor([[0, 1], [0, 0]])
    # The value 3 is above two of the four pixels and level with itself: (2 + 1/2) / 4.
    assert auc_tuebingen(prediction, fixations).item() == pytest.approx(2.5 / 4)
    # Of the three unfixated pixels one is above: a line from (0, 0) to (1/3, 1), then to (1, 1): 1/6 + 2/3.
    assert auc_judd(prediction, fixations).item() == pytest.approx(5 / 6)
    # Against others at 4 and 1: below the one, above the other.
    assert sauc(prediction, fixations, torch.tensor([[1, 0], [0, 1]])).item() == 0.5


def test_a_fixation_at_the_only_peak_is_above_all_pixels_but_itself():
    prediction = torch.tensor([[4.0, 3.0], [2.0, 1.0]])
    fixations = torch.tensor([[1, 0], [0, 0]])
    assert auc_tuebingen(prediction, fixations).item() == pytest.approx(3.5 / 4)
    for preset in ("tuebingen", "mit_matlab"):
        assert auc_judd(prediction, fixations, preset=preset).item() == 1.0


def test_a_fixation_at_the_lowest_value_is_below_all_pixels_but_itself():
    prediction, fixations = torch.tensor([[2.0, 1.0, 0.0]]), torch.tensor([[0, 0, 1]])
    assert auc_tuebingen(prediction, fixations).item() == pytest.approx(0.5 / 3)
    for preset in ("tuebingen", "mit_matlab"):  # no other point than (1, 1): Judd's bias at its largest
        assert auc_judd(prediction, fixations, preset=preset).item() == 0.5


@pytest.mark.parametrize("preset", PRESETS)
def test_where_every_pixel_is_fixated_judd_has_no_negatives(preset):
    assert auc_judd(MAPS["tied"], torch.ones(12, 16), preset=preset).isnan()


def test_ties_count_half():
    prediction = torch.tensor([[1.0, 1.0, 0.0, 0.0]])
    fixations = torch.tensor([[1, 0, 1, 0]])
    # 1 against {1, 1, 0, 0}: 2/2 + 2 = 3 of 4; 0 against them: 2/2 = 1 of 4.
    assert auc_tuebingen(prediction, fixations).item() == 0.5
    assert sauc(prediction, fixations, torch.tensor([[0, 3, 0, 1]])).item() == pytest.approx(
        # 1 against three of 1 and one of 0: (3/2 + 1) / 4; 0 against them: 1/2 / 4.
        (2.5 / 4 + 0.5 / 4) / 2
    )


def test_matlab_takes_equal_fixated_pixels_one_by_one():
    prediction, fixations = torch.tensor([[2.0, 2.0, 1.0, 0.0]]), torch.tensor([[1, 1, 0, 0]])
    # (0, 0), then one hit with (2 − 1) / 2 "false" alarms, two hits with 0, (1, 1): 1/8 − 3/8 + 1.
    assert auc_judd(prediction, fixations, preset="mit_matlab").item() == pytest.approx(0.75)
    assert auc_judd(prediction, fixations, preset="tuebingen").item() == 1.0


def test_repeated_fixations_count_where_a_preset_says_so():
    prediction, fixations = torch.tensor([[3.0, 1.0, 1.0, 1.0]]), torch.tensor([[3, 1, 0, 0]])
    # Mean 1.5, deviation √0.75: the values are √3 and −1/√3.
    assert nss(prediction, fixations, preset="tuebingen").item() == pytest.approx((3 * 3**0.5 - 3**-0.5) / 4)
    # The deviation with n − 1 is 1, the values 3/2 and −1/2.
    assert nss(prediction, fixations, preset="mit_matlab").item() == pytest.approx(0.5)
    # 3 is above 3 and level with 1 of 4, 1 is level with 3 of 4: 3.5/4 and 1.5/4.
    assert auc_tuebingen(prediction, fixations, preset="salicon").item() == pytest.approx((3 * 3.5 + 1.5) / 16)
    assert auc_tuebingen(prediction, fixations, preset="augsal").item() == pytest.approx((3.5 + 1.5) / 8)


def test_maps_by_hand():
    first, second = torch.tensor([[1.0, 3.0]]), torch.tensor([[1.0, 1.0]])
    assert sim(first, second, preset="tuebingen").item() == pytest.approx(0.75)
    assert kld(first, second).item() == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3))
    assert kld(second, first).item() == pytest.approx(0.25 * math.log(0.5) + 0.75 * math.log(1.5))
    # At the second pixel 3/4 against 1/4: log₂ 3.
    assert ig(first, torch.tensor([[0, 1]]), first.flip(-1)).item() == pytest.approx(math.log2(3))
    three = torch.tensor([[1.0, 2.0, 5.0]]), torch.tensor([[2.0, 2.0, 4.0]])
    # Less their minima 0, 1, 4 of 5 and 0, 0, 2 of 2.
    assert sim(*three, preset="mit_matlab").item() == pytest.approx(0.8)
    assert cc(torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[1.0, 3.0, 2.0]])).item() == pytest.approx(0.5)


def test_information_gain_is_minus_infinity_where_a_density_excludes_a_fixation():
    prediction, baseline = torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 1.0]])
    assert ig(prediction, torch.tensor([[1, 0]]), baseline).item() == -math.inf
    assert ig(prediction, torch.tensor([[0, 1]]), baseline).item() == 1.0


@pytest.mark.parametrize("preset", PRESETS)
def test_a_perfect_prediction_is_perfect(preset):
    assert cc(TRUTH, TRUTH, preset=preset).item() == pytest.approx(1)
    assert sim(TRUTH, TRUTH, preset=preset).item() == pytest.approx(1)
    assert kld(TRUTH, TRUTH, preset=preset).item() == pytest.approx(0, abs=1e-12)
    assert ig(BASELINE, FIXATIONS, BASELINE, preset=preset).item() == 0
    assert auc_judd(FIXATIONS > 0, FIXATIONS, preset="tuebingen").item() == 1


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("value", [0.0, 0.1])
def test_a_constant_prediction_is_at_chance_or_undefined(preset, value):
    constant = torch.full((12, 16), value)
    for name in ("cc", "nss"):
        assert ALL[name](constant, preset=preset).isnan(), name
    for name in ("auc_tuebingen", "auc_borji", "sauc"):
        assert ALL[name](constant, preset=preset).item() == 0.5, name
    judd = ALL["auc_judd"](constant, preset=preset)
    assert judd.isnan() if PRESETS[preset].judd == "pixel" else judd.item() == 0.5
    for name in ("sim", "ig"):
        undefined = PRESETS[preset].minmax or value == 0
        assert ALL[name](constant, preset=preset).isnan().item() == undefined, name
    assert ALL["kld"](constant, preset=preset).isnan().item() == (value == 0)


@pytest.mark.parametrize("preset", PRESETS)
def test_without_ground_truth_nothing_is_defined(preset):
    empty, smooth = torch.zeros(12, 16), MAPS["smooth"]
    for metric in (cc, sim, kld, nss, auc_judd, auc_tuebingen, auc_borji):
        assert metric(smooth, empty, preset=preset).isnan(), metric
    for metric, third in ((sauc, OTHERS), (ig, BASELINE)):
        assert metric(smooth, empty, third, preset=preset).isnan(), metric
        assert metric(smooth, FIXATIONS, empty, preset=preset).isnan(), metric


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", ALL)
def test_a_prediction_with_nan_is_undefined_and_spoils_no_other(name, preset):
    spoilt = MAPS["smooth"].clone()
    spoilt[0, 0] = torch.nan
    scores = ALL[name](torch.stack([spoilt, MAPS["smooth"]]), preset=preset)
    assert scores.isnan().tolist() == [True, False]


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", ALL)
def test_a_batch_is_its_items_one_by_one(name, preset):
    batch = torch.stack([MAPS["smooth"], MAPS["tied"], TRUTH, BASELINE]).view(2, 2, 12, 16)
    scores = ALL[name](batch, preset=preset)
    assert scores.shape == (2, 2)
    assert scores.dtype == torch.float64
    one_by_one = [ALL[name](item, preset=preset).item() for item in batch.flatten(0, 1)]
    assert scores.flatten().tolist() == pytest.approx(one_by_one, rel=0, abs=1e-14)


def test_items_of_a_batch_may_have_different_numbers_of_fixations():
    maps = torch.stack([MAPS["smooth"], MAPS["smooth"]])
    fixations = torch.stack([FIXATIONS, OTHERS])
    for preset in PRESETS:
        for metric in (nss, auc_judd, auc_tuebingen, auc_borji):
            together = metric(maps, fixations, preset=preset).tolist()
            apart = [metric(m, f, preset=preset).item() for m, f in zip(maps, fixations, strict=True)]
            assert together == pytest.approx(apart, rel=0, abs=1e-14)


@pytest.mark.parametrize("name", ALL)
def test_any_number_type_is_read_and_computed_in_double_precision(name):
    whole = (MAPS["tied"] * 10).round()
    expected = ALL[name](whole)
    for dtype in (torch.uint8, torch.float16, torch.float32, torch.int64):
        assert ALL[name](whole.to(dtype)) == expected
    halves = (MAPS["smooth"]).half()
    assert ALL[name](halves) == ALL[name](halves.double())


def test_no_gradient_is_kept():
    prediction = MAPS["smooth"].clone().requires_grad_()
    assert not any(metric(prediction).requires_grad for metric in ALL.values())


def test_borji_s_random_pixels_come_from_the_seed_and_leave_the_global_generator_alone():
    torch.manual_seed(7)
    before = torch.get_rng_state()
    first, again, other = (auc_borji(MAPS["smooth"], FIXATIONS, seed=seed).item() for seed in (1, 1, 2))
    assert first == again != other
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("preset", PRESETS)
def test_borji_tends_to_the_area_against_all_pixels(preset):
    """Its mean over seeds; the map has ten levels, so that no threshold is missed."""
    tens = (MAPS["smooth"] * 10).floor()
    tens[0, 0], tens[4, 8] = 0, 10
    seeds = torch.tensor([auc_borji(tens, FIXATIONS, seed=n, preset=preset).item() for n in range(64)])
    assert seeds.mean().item() == pytest.approx(auc_tuebingen(tens, FIXATIONS, preset=preset).item(), abs=2e-3)


@pytest.mark.parametrize("metric", [cc, sim, kld, nss, auc_judd, auc_tuebingen, auc_borji])
def test_shapes_and_presets_are_checked(metric):
    with pytest.raises(ValueError, match=r"must be shaped like `prediction`, \(12, 16\), got \(6, 16\)"):
        metric(MAPS["smooth"], TRUTH[:6])
    with pytest.raises(ValueError, match="must be shaped like"):
        metric(MAPS["smooth"][None], TRUTH)
    with pytest.raises(ValueError, match="`preset` must be one of salicon, tuebingen, mit_matlab, augsal, got 'mit'"):
        metric(MAPS["smooth"], TRUTH.round(), preset="mit")


@pytest.mark.parametrize("preset", PRESETS)
def test_every_metric_has_a_definition_that_names_what_differs(preset):
    words, rules = definitions(preset), PRESETS[preset]
    assert list(words) == list(ALL)
    assert all(callable(getattr(metrics, name)) for name in words)
    assert f"(n − {rules.ddof})" in words["nss"]
    assert f"{rules.kld_eps:.8g}" in words["kld"]
    assert ("less its minimum" in words["sim"]) == rules.minmax
    assert ("each fixation counts" in words["auc_judd"]) == rules.repeats


def test_the_presets_differ_where_they_say_so():
    assert definitions("tuebingen")["kld"] != definitions("mit_matlab")["kld"]
    assert definitions("augsal")["kld"] == definitions("tuebingen")["kld"]
    guessed = [name for name, words in definitions("salicon").items() if "not public" in words]
    assert guessed == ["sim", "kld", "ig"]


@pytest.mark.gpu
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", ALL)
def test_maps_on_a_gpu_are_scored_on_the_cpu(name, preset):
    on_gpu = ALL[name](MAPS["tied"].cuda(), preset=preset)
    assert on_gpu.device.type == "cpu"
    assert on_gpu == ALL[name](MAPS["tied"], preset=preset)
