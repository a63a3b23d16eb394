import re
import subprocess
import sys

import pytest
import torch

from augsal_transforms import metrics
from augsal_transforms.metrics.presets import PRESETS
from augsal_transforms.metrics.table import METRICS, Metric, definitions

PREDICTION = torch.tensor([[4.0, 3.0], [2.0, 1.0]])
TRUTHS = {
    "saliency_map": torch.tensor([[1.0, 0.0], [0.0, 0.0]]),
    "fixation_map": torch.tensor([[0, 1], [0, 0]]),
    "other_map": torch.tensor([[1, 0], [0, 1]]),
    "baseline": torch.tensor([[1.0, 2.0], [2.0, 2.0]]),
}


@pytest.mark.parametrize("name", METRICS)
def test_a_row_gives_its_function_what_it_needs(name):
    metric = METRICS[name]
    assert getattr(metrics, name) is metric.function
    arguments = [TRUTHS[need] for need in metric.needs]
    extra = {"seed": 5} if metric.seeded else {}
    expected = metric.function(PREDICTION, *arguments, preset="salicon", **extra)
    assert metric.score(PREDICTION, TRUTHS, preset="salicon", seed=5) == expected


def test_seeded_rows_are_those_that_depend_on_the_seed():
    image = torch.rand(24, 24, generator=torch.Generator().manual_seed(0))
    points = {name: torch.zeros(24, 24) for name in ("fixation_map", "other_map")}
    points["fixation_map"][3, 4] = points["other_map"][8, 8] = 1
    truths = {**points, "saliency_map": image, "baseline": image}
    drawn = {
        name: len({metric.score(image, truths, preset="tuebingen", seed=seed).item() for seed in range(4)})
        for name, metric in METRICS.items()
    }
    assert {name for name, values in drawn.items() if values > 1} == {n for n, m in METRICS.items() if m.seeded}


def test_the_better_direction_is_that_of_a_perfect_prediction():
    truth = TRUTHS["saliency_map"] + 0.1
    truths = {**TRUTHS, "saliency_map": truth, "fixation_map": TRUTHS["saliency_map"]}
    truths["other_map"] = 1 - truths["fixation_map"]
    for name, metric in METRICS.items():
        good, poor = (metric.score(map_, truths, preset="tuebingen").item() for map_ in (truth, 1.2 - truth))
        assert (good > poor) == metric.higher_is_better, name


@pytest.mark.parametrize("preset", PRESETS)
def test_no_phrase_is_left_open_in_a_definition(preset):
    assert list(definitions(preset)) == list(METRICS)
    assert not [words for words in definitions(preset).values() if re.search(r"[{}]", words)]


def test_a_metric_of_one_s_own_is_one_row(monkeypatch):
    def mae(prediction, saliency_map, *, preset):
        return (prediction - saliency_map).abs().mean((-2, -1)).double()

    row = Metric(title="MAE", function=mae, needs=("saliency_map",), higher_is_better=False, definition="mean |p − q|")
    monkeypatch.setitem(METRICS, "mae", row)
    assert definitions("augsal")["mae"] == "mean |p − q|"
    # |4 − 1|, 3, 2, 1: 9 / 4.
    assert METRICS["mae"].score(PREDICTION, TRUTHS, preset="augsal").item() == 2.25


def test_presets_are_listed_without_torch():
    code = "import sys; from augsal_transforms.metrics import PRESETS; print(*PRESETS, 'torch' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.split() == [*PRESETS, "False"]


def test_only_public_names_are_found():
    assert set(metrics.__all__) <= set(dir(metrics))
    with pytest.raises(AttributeError, match="no attribute 'emd'"):
        _ = metrics.emd
