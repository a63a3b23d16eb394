"""benchmarks/edited_scenes.py: trainings with edits, measured on edited scenes."""

import math
from dataclasses import replace

import pytest
import torch
from edited_scenes import VARIANTS, main
from table2.edited_set import EditedSet, keep_edited_set
from table2.edited_trial import EditedScenes, Recipe, change_of_gaze

from augsal_transforms.readouts.gaze_network import TAPS


@pytest.fixture
def edited_set():
    """Four originals with two edits each, at random, 32 px."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.rand(shape, generator=generator).half()

    features = [draw(12, channels, side, side) for channels, side in zip(TAPS.values(), (8, 4, 2, 1), strict=True)]
    densities, edit_masks = 0.4 * draw(12, 1, 32, 32) + 0.05, draw(8, 1, 32, 32)
    edit_masks[:, :, 16:] = 0
    densities[4:, :, :16] *= 2  # every edit draws gaze to the upper half
    maps = draw(4, 1, 32, 32), densities, draw(12, 1, 32, 32), edit_masks
    return EditedSet(*features, *maps, torch.arange(4).repeat_interleave(2))


def test_a_change_of_gaze_is_the_logarithm_of_the_ratio_of_shares():
    before, after = torch.tensor([[[[1.0, 3.0]]]]), torch.tensor([[[[2.0, 2.0]]]])
    change = change_of_gaze(before, after, torch.tensor([[[[1.0, 0.0]]]]))
    assert change.item() == pytest.approx(math.log(0.5 / 0.25))


def test_a_part_keeps_the_edits_of_its_scenes(edited_set):
    part = edited_set.part(1, 3)
    assert part.scenes.tolist() == [0, 0, 1, 1]
    assert torch.equal(part.saliency_maps, edited_set.saliency_maps[1:3])
    assert torch.equal(part.fine, edited_set.fine[[1, 2, 6, 7, 8, 9]])
    assert torch.equal(part.true_maps, edited_set.true_maps[2:6])


def test_a_set_is_computed_once_and_read_from_its_file(edited_set, tmp_path):
    keep_edited_set(tmp_path / "set.safetensors", lambda: edited_set)
    again = keep_edited_set(tmp_path / "set.safetensors", lambda: pytest.fail("computed again"))
    assert torch.equal(again.densities, edited_set.densities)
    assert torch.equal(again.scenes, edited_set.scenes)


def test_a_true_map_is_the_original_s_map_times_the_ratio_of_densities(edited_set):
    ratio = edited_set.densities[4].float() / edited_set.densities[0].float()
    expected = edited_set.saliency_maps[0].float() * ratio
    assert torch.allclose(edited_set.true_maps[0], expected / expected.amax())


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_a_variant_of_weight_zero_trains_as_without_edits(variant, edited_set):
    def trained(of):
        return torch.nn.utils.parameters_to_vector(EditedScenes(edited_set).train(of, 3, Recipe(steps=2)).parameters())

    plain, zero, full = trained(VARIANTS[0]), trained(replace(variant, weight=0.0)), trained(variant)
    assert torch.allclose(zero, plain, atol=1e-5)
    assert variant.loss == "none" or not torch.allclose(full, plain, atol=1e-5)


def test_scores_compare_with_the_observer(edited_set):
    """A head that returns the observer's densities has no error."""
    scenes = EditedScenes(edited_set)
    maps = iter(scenes.known["observer"])
    scores = scenes.score(lambda features: torch.stack([next(maps) for _ in features[0]]))
    assert scores["correlation"] == pytest.approx(1, abs=1e-5)
    assert (scores["right"], scores["error"]) == (1, 0)
    assert scores["size"] == pytest.approx(1)


@pytest.mark.slow  # it edits, and predicts maps, with the bundled models
def test_smoke_writes_a_table_and_a_figure_and_repeats_nothing(tmp_path, capsys):
    def run(*options):
        main(["--smoke", "--runs", str(tmp_path), *options])
        return capsys.readouterr().out

    output = run("--variants", "change;with")
    assert "| without | 2 |" in output
    assert "| change | 2 |" in output
    trials = {path: path.stat().st_mtime_ns for path in (tmp_path / "proof").glob("*.json")}
    (tmp_path / "proof/edited_scenes.png").unlink()
    assert run("--table", "--variants", "change;with") == output
    assert (tmp_path / "proof/edited_scenes.png").exists()
    assert trials == {path: path.stat().st_mtime_ns for path in (tmp_path / "proof").glob("*.json")}


def test_an_unknown_variant_is_named(tmp_path):
    with pytest.raises(SystemExit, match=r"no variant 'rise'; the variants are 'without', 'change'"):
        main(["--smoke", "--runs", str(tmp_path), "--variants", "rise"])
