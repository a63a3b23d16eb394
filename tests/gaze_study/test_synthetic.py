import torch

from augsal_transforms.gaze_study.synthetic import ObservedScene, edits_of_scene, gaze_rises, observe_study
from augsal_transforms.scenes.observer import fixation_density


def test_the_peak_is_the_object_that_the_observer_looks_at_most():
    scene = next(s for s in (ObservedScene.render(index, 4242) for index in range(9)) if s.peak is not None)
    assert scene.peak.mask[torch.unravel_index(scene.saliency_map[0].argmax(), scene.peak.mask.shape)]


def test_the_observer_s_study_is_of_three_kinds_at_three_alphas(bundled):
    found = observe_study(bundled, scenes=2, series=4242)
    assert len({change.original for change in found.changes}) == 2
    assert [(c.kind, c.alpha) for c in found.changes[:9]] == [(e.kind, e.alpha_value) for e in edits_of_scene(0)]
    assert [len(kind.alpha_spans) for kind in found.kinds.values()] == [3, 3, 3, 0]
    assert (found.fixations, found.unseen) == (0, ())


def test_what_is_not_edited_does_not_change_the_gaze():
    image = torch.rand(3, 48, 64, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(1, 48, 64)
    assert gaze_rises(lambda picture, _: fixation_density(picture), [image], [image, image], [mask]).abs().max() == 0
