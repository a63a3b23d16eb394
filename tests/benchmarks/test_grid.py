"""benchmarks/table2/grid.py: trials on disk, resumed and never repeated."""

import json

import pytest
from table2 import grid
from table2.grid import Trials
from table2.variants import WITHOUT, Variant

from augsal_transforms.generate.claims import Claims

WITH = Variant(name="p 0.25", p=0.25)
SETTINGS = {"steps": 3, "series": (601, 602)}


class Runs:
    """A run that records its trials, and can die at one of them."""

    def __init__(self, dies_at=None):
        self.done, self.dies_at = [], dies_at

    def __call__(self, variant, seed):
        if (variant.name, seed) == self.dies_at:
            raise KeyboardInterrupt
        self.done.append((variant.name, seed))
        return {"cc": seed / 10}


def fill(folder, run, variants=(WITHOUT, WITH), seeds=(0, 1)):
    trials = Trials(folder, SETTINGS)
    trials.fill(trials.missing(variants, seeds), run)
    return trials


def test_a_cut_off_grid_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(grid, "PATIENCE", 0.0)  # the dead one's claim need not be respected
    first, second = Runs(dies_at=("p 0.25", 0)), Runs()
    with pytest.raises(KeyboardInterrupt):
        fill(tmp_path, first)
    assert first.done == [("without", 0), ("without", 1)]
    trials = fill(tmp_path, second)
    assert sorted(second.done) == [("p 0.25", 0), ("p 0.25", 1)]
    assert trials.missing((WITHOUT, WITH), (0, 1)) == []
    assert trials.read(WITH) == {0: {"cc": 0.0}, 1: {"cc": 0.1}}


def test_a_finished_trial_is_not_run_again(tmp_path):
    fill(tmp_path, Runs())
    again = Runs()
    fill(tmp_path, again, seeds=(0, 1, 2))
    assert again.done == [("without", 2), ("p 0.25", 2)]


def test_a_trial_claimed_by_another_process_comes_last(tmp_path, monkeypatch):
    monkeypatch.setattr(grid, "PATIENCE", 0.0)
    Trials(tmp_path, SETTINGS)
    Claims(tmp_path).take("without-0")
    run = Runs()
    fill(tmp_path, run)
    assert run.done == [("without", 1), ("p 0.25", 0), ("p 0.25", 1), ("without", 0)]


def test_a_trial_that_another_process_finished_meanwhile_is_not_repeated(tmp_path):
    mine, theirs = Runs(), Runs()

    def beside(variant, seed):
        if not theirs.done:
            fill(tmp_path, theirs, variants=(WITH,))
        return mine(variant, seed)

    fill(tmp_path, beside)
    assert theirs.done == [("p 0.25", 0), ("p 0.25", 1)]
    assert mine.done == [("without", 0), ("without", 1)]


def test_trials_of_other_settings_are_not_mixed(tmp_path):
    fill(tmp_path, Runs())
    with pytest.raises(ValueError, match=r"steps = 3, not 4"):
        Trials(tmp_path, {**SETTINGS, "steps": 4})


def test_trials_of_another_variant_of_that_name_are_refused(tmp_path):
    fill(tmp_path, Runs())
    with pytest.raises(ValueError, match=r"another variant named 'p 0\.25'"):
        Trials(tmp_path, SETTINGS).read(Variant(name="p 0.25", p=0.3))


def test_a_file_has_the_trials_variant_seed_scores_and_seconds(tmp_path):
    fill(tmp_path, Runs())
    trial = json.loads((tmp_path / "p_0.25-001.json").read_text())
    assert trial["variant"]["p"] == 0.25
    assert (trial["seed"], trial["scores"]) == (1, {"cc": 0.1})
    assert trial["seconds"] >= 0
