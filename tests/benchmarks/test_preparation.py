"""benchmarks/table2/preparation.py: data and edits are made once, and the time of the trials is estimated."""

import pytest
from table2.preparation import EDITS_PER_KIND, Budget, extrapolate, fill_store, write_once

from augsal_transforms import Contrast
from augsal_transforms.data.folders import SaliencyFolder
from augsal_transforms.scenes.writer import write_scenes


def test_seconds_of_a_trial_by_hand():
    # Two steps 1.2 s, ten 2.0 s: 0.1 s a step and 1 s of scoring; a hundred steps take 11 s.
    assert extrapolate(1.2, 2.0, 100) == pytest.approx(11.0)


def test_a_budget_reads_as_hours_and_minutes():
    assert str(Budget(12, 3725)) == "12 trials, about 1 h 02 min for one process"


def test_a_folder_is_written_once_and_not_in_part(tmp_path):
    def write(folder):
        folder.mkdir()
        (folder / "half").touch()
        if not finishes:
            raise KeyboardInterrupt

    finishes = False
    with pytest.raises(KeyboardInterrupt):
        write_once(tmp_path / "data", write)
    assert list(tmp_path.iterdir()) == []
    finishes = True
    assert (write_once(tmp_path / "data", write) / "half").exists()
    finishes = False
    write_once(tmp_path / "data", write)  # is there: not written again


def test_a_filled_store_needs_no_editor(tmp_path, editor):
    write_scenes(tmp_path / "data", 2, seed=5, size=48)
    data = SaliencyFolder(tmp_path / "data")
    store = fill_store(tmp_path / "edits", data, lambda: editor)
    kinds = [edit.kind for edit in store.find(data.names[0])]
    assert kinds.count(Contrast.kind) == EDITS_PER_KIND

    def unwanted():
        raise AssertionError("the editor was opened")

    assert len(list(fill_store(tmp_path / "edits", data, unwanted).records())) == len(list(store.records()))
