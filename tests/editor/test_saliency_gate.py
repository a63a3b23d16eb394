import math

import pytest
import torch
from helpers.brightest import Brightest

from augsal_transforms import Brightness, Color, Contrast, SaliencyGate
from augsal_transforms.editor.saliency_gate import gaze_rise, gaze_share


@pytest.fixture(scope="module")
def analysed(bundled):
    """Two analysed scenes, so that a strong brightness edit moves the predictor above."""
    from augsal_transforms.scenes.observer import observe
    from augsal_transforms.scenes.scenes import render_scene

    scenes = [render_scene(n, 7, 64) for n in range(2)]
    maps = [observe(scene.image, scene.objects, seed=0) for scene in scenes]
    return bundled.analyse([scene.image for scene in scenes], maps, [scene.caption for scene in scenes])


def test_the_share_and_its_rise_are_those_worked_by_hand():
    saliency_map = torch.tensor([[[1.0, 3.0], [2.0, 2.0]]], dtype=torch.float64)
    edit_mask = torch.tensor([[[0.0, 1.0], [0.5, 0.0]]], dtype=torch.float64)
    share = gaze_share(saliency_map, edit_mask)
    assert share.tolist() == [0.5]  # (3 + 2 / 2) / 8
    assert gaze_share(10 * saliency_map, edit_mask).tolist() == [0.5]
    assert gaze_rise(share, torch.tensor([0.25], dtype=torch.float64)).item() == pytest.approx(-math.log(2))
    assert gaze_share(torch.zeros(1, 2, 2), edit_mask.float()).tolist() == [0.0]
    assert gaze_rise(torch.zeros(1), torch.zeros(1)).item() == 0


def test_the_first_candidate_that_raises_is_taken_and_no_other_is_tried(bundled, analysed):
    predictor = Brightest()
    candidates = [Brightness(-0.2), Brightness(0.05), Brightness(0.2)]
    results = bundled.apply(analysed, [candidates, candidates], saliency_gate=SaliencyGate(predictor))
    assert predictor.calls == [2, 2, 2]  # the originals, then each candidate of both images together
    (made, *_) = bundled.apply(analysed[:1], [Brightness(0.05)])
    assert torch.equal(results[0].image, made.image)
    for result in results:
        assert (result.kind, result.alpha, result.is_edited) == ("brightness", 0.05, True)
        assert [trial.alpha for trial in result.tried] == [-0.2, 0.05]
        assert result.tried[0].rise < 0 < result.tried[1].rise == result.rise
        assert result.tried[1].strength == result.strength


def test_the_candidate_that_raises_most_is_taken_of_all(bundled, analysed):
    predictor = Brightest()
    gate = SaliencyGate(predictor, choose="most")
    candidates = [Brightness(0.05), Brightness(0.12), Brightness(-0.2)]
    results = bundled.apply(analysed, [candidates, candidates], saliency_gate=gate)
    assert predictor.calls == [2, 6]
    for result in results:
        assert result.alpha == 0.12
        assert result.rise == max(trial.rise for trial in result.tried)
        assert len(result.tried) == 3


@pytest.mark.parametrize("choose", ["first", "most"])
def test_an_image_that_nothing_raises_is_kept_and_says_what_was_tried(bundled, analysed, choose):
    gate = SaliencyGate(Brightest(), choose=choose)
    candidates = [Brightness(-0.2), Brightness(-0.1)]
    (result,) = bundled.apply(analysed[:1], [candidates], saliency_gate=gate)
    assert not result.is_edited
    assert torch.equal(result.image, analysed[0].source.image)
    assert (result.bound_by, result.strength, result.alpha) == ("not raised", 0.0, -0.1)
    assert result.rise == max(trial.rise for trial in result.tried) < 0
    assert len(result.tried) == 2


def test_a_rise_must_exceed_the_margin(bundled, analysed):
    (result,) = bundled.apply(analysed[:1], [Brightness(0.1)], saliency_gate=SaliencyGate(Brightest()))
    for margin, passes in ((result.rise - 1e-9, True), (result.rise, False)):
        gate = SaliencyGate(Brightest(), margin=margin)
        (again,) = bundled.apply(analysed[:1], [Brightness(0.1)], saliency_gate=gate)
        assert again.is_edited == passes


def test_an_analysis_may_stand_for_several_results_and_is_predicted_once(bundled, analysed):
    predictor = Brightest()
    edits = [[Brightness(0.1)], [Brightness(-0.1)], [Brightness(0.1)]]
    gate = SaliencyGate(predictor)
    results = bundled.apply([analysed[0], analysed[0], analysed[1]], edits, saliency_gate=gate)
    assert [result.is_edited for result in results] == [True, False, True]
    assert predictor.calls == [2, 3]


def test_an_empty_region_tries_nothing(editor):
    image = torch.zeros(3, 32, 32, dtype=torch.uint8)
    predictor = Brightest()
    gate = SaliencyGate(predictor)
    (result,) = editor.edit([image], [torch.zeros(1, 32, 32)], None, [Contrast(1.5)], saliency_gate=gate)
    assert (result.bound_by, result.tried, result.rise, predictor.calls) == ("empty region", (), None, [])


def test_candidates_take_turns_by_kind_and_none_is_drawn_twice():
    def draw(edits, **options):
        gate = SaliencyGate(Brightest(), **options)
        return gate.draw_candidates(edits, torch.Generator().manual_seed(0))

    drawn = draw([Contrast(), Color(("red", "blue"))], tries=5)
    assert [edit.kind for edit in drawn] == ["contrast", "color"] * 2 + ["contrast"]
    assert len(set(drawn)) == 5
    assert draw([Contrast(1.5)], tries=5) == [Contrast(1.5)]
    assert len(draw([Contrast(1.1), Contrast(1.2), Contrast(1.3)], tries=1)) == 3


def test_a_gate_needs_a_candidate_for_each_image_and_must_be_one(bundled, analysed):
    with pytest.raises(ValueError, match=r"`edits\[1\]` must hold an edit"):
        bundled.apply(analysed, [[Contrast(1.5)], []], saliency_gate=SaliencyGate(Brightest()))
    with pytest.raises(TypeError, match="`saliency_gate` must be a SaliencyGate or None, got Brightest"):
        bundled.apply(analysed, [Contrast(1.5)] * 2, saliency_gate=Brightest())


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"predictor": None}, TypeError, "`predictor` must have a method `predict"),
        ({"choose": "best"}, ValueError, "`choose` must be 'first' or 'most'"),
        ({"margin": -0.1}, ValueError, "`margin` must be 0 or more"),
        ({"margin": math.nan}, ValueError, "`margin` must be 0 or more"),
        ({"margin": "0"}, TypeError, "`margin` must be a number"),
        ({"tries": 0}, ValueError, "`tries` must be 1 or more"),
        ({"tries": 65}, ValueError, "`tries` must be at most 64"),
        ({"tries": 2.0}, TypeError, "`tries` must be an integer"),
    ],
)
def test_options_are_checked(options, error, message):
    with pytest.raises(error, match=message):
        SaliencyGate(**{"predictor": Brightest(), **options})


def test_a_predictor_s_maps_are_checked(bundled, analysed):
    class Stranger:
        def predict(self, images):
            return [torch.full((1, 64, 64), torch.nan)]

    with pytest.raises(ValueError, match="`predict` must return finite maps"):
        bundled.apply(analysed[:1], [Contrast(1.5)], saliency_gate=SaliencyGate(Stranger()))
