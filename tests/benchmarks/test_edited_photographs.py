"""benchmarks/edited_photographs.py: gaze that moves outside the region, and the command to the table."""

import edited_photographs
import judges
import pytest
import torch
from table2.edited_photographs import moved_outside
from table2.edited_trial import agreement

from augsal_transforms.scenes.writer import write_scenes


def test_gaze_that_moves_outside_the_region_by_hand():
    mask = torch.tensor([1.0, 0.0, 0.0]).view(1, 1, 1, 3)
    before = torch.tensor([5.0, 1.0, 1.0]).view(1, 1, 1, 3)
    after = torch.tensor([9.0, 3.0, 1.0]).view(1, 1, 1, 3)  # outside 1/2, 1/2 become 3/4, 1/4
    assert moved_outside(before, after, mask).tolist() == pytest.approx([0.25])
    assert moved_outside(before, 2 * before, mask).item() == 0.0


def test_directions_count_where_the_true_change_is_over_two_percent():
    found = agreement(torch.tensor([0.5, -0.2, 0.1, -0.1]), torch.tensor([0.9, -0.1, -0.1, 0.01]))
    assert found["right"] == pytest.approx(2 / 3)
    assert 0.8 < found["correlation"] < 1


def test_the_command_ends_in_a_table_of_all_variants(encoder, sd1_folder, predictor, tmp_path, capsys):
    predictor.save(tmp_path / "predictor")
    write_scenes(tmp_path / "scenes", count=10, split="train", seed=5)
    data = ("--data", tmp_path / "scenes", "--parts", 2, 2, 2, 4, "--encoder", encoder)
    judges.main(list(map(str, (*data, "--smoke", "--out", tmp_path / "judges"))))
    names = ("--editor", sd1_folder, "--predictor", tmp_path / "predictor", "--seeds", 2, "--steps", 2)
    folders = ("--judges", tmp_path / "judges" / "imagenet", tmp_path / "judges" / "classical")
    options = list(map(str, (*data, *names, *folders, "--runs", tmp_path / "runs")))
    capsys.readouterr()
    edited_photographs.main(options)
    table = capsys.readouterr().out
    assert "| correlation classical | right direction classical |" in table
    assert [line.split(" | ")[:2] for line in table.splitlines()[-4:]] == [
        ["| " + name, "2"] for name in ("without", "with", "annotation pairs", "change")
    ]
    written = [path.stat().st_mtime_ns for path in sorted((tmp_path / "runs" / "edited-proof").glob("*.json"))]
    edited_photographs.main(options)
    assert table.endswith(capsys.readouterr().out.split("\n", 1)[1])
    assert [path.stat().st_mtime_ns for path in sorted((tmp_path / "runs" / "edited-proof").glob("*.json"))] == written
