"""benchmarks/ablation.py: its table, and the command from nothing to a figure."""

import torch
from ablation import main, open_editor

from augsal_transforms import Brightness
from augsal_transforms.editor.latent_edits import shift_brightness


def test_smoke_writes_a_table_and_a_figure_and_repeats_nothing(tmp_path, capsys):
    def run(*options):
        main(["--smoke", "--runs", str(tmp_path), *options])
        return capsys.readouterr().out

    def times():
        return {path: path.stat().st_mtime_ns for path in (tmp_path / "tuning").rglob("*.json")}

    output = run()
    assert "6 trials, about" in output
    assert "| without | 2 |" in output
    assert "| rotation | 2 |" in output
    written = times()
    (tmp_path / "tuning/trials/ablation.png").unlink()
    assert run("--table").splitlines() == output.splitlines()[1:]
    assert (tmp_path / "tuning/trials/ablation.png").exists()
    assert "trials, about" not in run()
    assert written == times()


def test_without_scaling_one_unit_of_rgb_is_one_of_every_latent_channel():
    editor = open_editor("unscaled")
    shifted = shift_brightness(torch.zeros(1, 4, 2, 2), torch.ones(1, 1, 2, 2), 0.25, editor.calibration.gamma)
    assert torch.allclose(shifted, torch.full((1, 4, 2, 2), 0.25))
    assert editor.config.pivot == "mean"
    assert torch.equal(editor.calibration.std, open_editor("default").calibration.std)


def test_without_the_constraint_no_strength_is_taken_back():
    editor = open_editor("unbounded")
    image = torch.full((3, 128, 128), 128, dtype=torch.uint8)
    image[:, 40:80, 40:80] = 200
    peak = torch.zeros(1, 128, 128)
    peak[:, 40:80, 40:80] = 1
    (result,) = editor.edit([image], [peak], ["a red ball"], [Brightness(1.0)], seed=0)
    assert result.strength == 1
