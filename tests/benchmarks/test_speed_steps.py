"""benchmarks/speed_steps.py: each step is predicted and measured."""

import json

import pytest
import speed_steps


@pytest.mark.slow
def test_each_step_that_made_edits_faster_is_predicted_and_measured(sd1_folder, tmp_path, capsys):
    options = ["--folder", str(sd1_folder), "--images", "2", "--rounds", "1", "--json", str(tmp_path / "steps.json")]
    gains = {gain.step: gain for gain in speed_steps.main(options)}
    # Of encodes, decodes and passes alike: 1 + 4 in place of 4 · (1 + 1), and an encode in place of four.
    assert 0.5 < gains["four edits of an image share its analysis"].predicted < 5 / 8
    assert gains["the empty prompt encoded once"].predicted <= 1
    assert all(gain.measured > 0 for gain in gains.values())
    assert len(json.loads((tmp_path / "steps.json").read_text())) == len(gains) == 5
    name = "the empty prompt encoded once"
    assert f"| {name} | {gains[name].predicted:.2f} |" in capsys.readouterr().out
