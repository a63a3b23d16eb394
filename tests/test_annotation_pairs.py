import pytest
import torch
from helpers.brightest import Brightest
from helpers.samples import scene
from torch.utils.data import default_collate
from torchvision.transforms import v2

from augsal_transforms import AugmentedDataset, AugmentedSaliencyLoss, SaliencyDiffusionAugment, SaliencyMap
from augsal_transforms.annotation_pairs import FLOOR, reweight_saliency_map
from augsal_transforms.readouts.contract import predict_maps


def maps(*values):
    """A (1, 1, n) float64 map."""
    return torch.tensor([[values]], dtype=torch.float64)


@pytest.fixture
def augment(editor):
    return SaliencyDiffusionAugment(editor=editor, p=1.0, seed=7, predictor=Brightest(), pairs=True)


def test_the_map_of_an_edited_image_by_hand():
    # S' = (1, 1, 2) has mean 4/3 and density (3/4, 3/4, 3/2); S'_E = (2, 1, 2) has mean 5/3, density (6/5, 3/5, 6/5).
    # With 1/10 added to each, r = (1.3 / 0.85, …). M = (1, 0, 1/2): the factors are r₁, 1 and (1 + r₃) / 2.
    saliency_map, mask = maps(0.5, 0.2, 0.4), maps(1, 0, 0.5)
    first, third = 1.3 / 0.85, (1 + 1.3 / 1.6) / 2
    reweighted = torch.tensor([0.5 * first, 0.2, 0.4 * third], dtype=torch.float64)
    expected = reweighted * 0.5 / reweighted.max()  # the maximum of S, 0.5, stays
    found = reweight_saliency_map(saliency_map, maps(1, 1, 2), maps(2, 1, 2), mask)
    torch.testing.assert_close(found.flatten(), expected, rtol=0, atol=1e-12)
    assert FLOOR == 0.1


def test_ratios_are_limited():
    # Densities (0, 2) and (2, 0): r = 2.1 / 0.1 = 21 is limited to 4, and 0.1 / 2.1 to 1/4.
    found = reweight_saliency_map(maps(0.5, 0.5), maps(0, 1), maps(1, 0), maps(1, 1))
    torch.testing.assert_close(found, maps(0.5, 0.5 / 16), rtol=0, atol=1e-12)


def test_without_a_mask_the_map_stays_to_the_bit():
    saliency_map = torch.rand(3, 1, 5, 6, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros_like(saliency_map)
    mask[1, 0, 2:4] = 1
    found = reweight_saliency_map(saliency_map, saliency_map, saliency_map.square(), mask)
    assert torch.equal(found[[0, 2]], saliency_map[[0, 2]])
    assert not torch.equal(found[1], saliency_map[1])
    assert torch.equal(found.amax((1, 2, 3)), saliency_map.amax((1, 2, 3)))


def test_empty_predictions_change_nothing():
    saliency_map, empty = maps(0.25, 1.0), maps(0, 0)
    assert torch.equal(reweight_saliency_map(saliency_map, empty, empty, maps(1, 1)), saliency_map)


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"`edit_mask` must be shaped like `saliency_map`, \(1, 1, 2\)"):
        reweight_saliency_map(maps(1, 1), maps(1, 1), maps(1, 1), maps(1, 1, 1))


def test_a_sample_gains_the_map_of_its_edited_image(augment):
    sample = augment(scene())
    plain = [torch.Tensor(sample[name]) for name in ("saliency_map", "edit_mask")]
    before, after = predict_maps(Brightest(), [sample[n].as_subclass(torch.Tensor) for n in ("image", "edited_image")])
    expected = reweight_saliency_map(plain[0], before, after, plain[1])
    assert type(sample["edited_saliency_map"]) is SaliencyMap
    assert torch.equal(torch.Tensor(sample["edited_saliency_map"]), expected)
    assert not torch.equal(sample["edited_saliency_map"], sample["saliency_map"])


def test_an_unedited_sample_has_its_own_map_twice(editor):
    sample = SaliencyDiffusionAugment(editor=editor, p=0, predictor=Brightest(), pairs=True)(scene())
    assert torch.equal(sample["edited_saliency_map"], sample["saliency_map"])


def test_later_transforms_move_both_maps_alike(augment):
    flipped = v2.Compose([augment, v2.RandomHorizontalFlip(1.0), v2.Resize((16, 20))])(scene())
    moved = v2.Resize((16, 20))(v2.functional.horizontal_flip(augment(scene())["edited_saliency_map"]))
    assert torch.equal(flipped["edited_saliency_map"], moved)


def test_an_image_only_pipeline_moves_the_map_too(augment):
    data = [scene()]
    sample = AugmentedDataset(data, augment, image_transform=v2.Resize((16, 20)), saliency_transform=v2.Resize((8, 10)))
    assert sample[0]["edited_saliency_map"].shape == sample[0]["saliency_map"].shape == (1, 8, 10)


def test_a_batch_gains_the_maps(augment):
    batch = augment.batch(default_collate([scene(), scene()]))
    assert batch["edited_saliency_map"].shape == batch["saliency_map"].shape
    assert type(batch["edited_saliency_map"]) is SaliencyMap


@pytest.mark.parametrize("pairs", [True, 1, "yes"])
def test_pairs_need_a_predictor(editor, pairs):
    with pytest.raises(TypeError, match="`pairs` must be a bool, and True needs a `predictor`"):
        SaliencyDiffusionAugment(editor=editor, pairs=pairs)


def test_pairs_are_supervised_by_the_base_loss():
    # Two items of two pixels, the second edited; base is the mean absolute error. Originals: (0.1 + 0.3) / 2 = 0.2.
    # The pair: |0.6 − 0.5| and |0.8 − 0.4| have the mean 0.25, half of the batch: 0.125, times 2.
    prediction, saliency_map = (
        torch.tensor([[[[0.5, 0.5]]], [[[0.5, 0.5]]]]),
        torch.tensor([[[[0.4, 0.6]]], [[[0.2, 0.8]]]]),
    )
    edited, edited_map = torch.tensor([[[[0.0, 0.0]]], [[[0.6, 0.8]]]]), torch.tensor([[[[1.0, 1.0]]], [[[0.5, 0.4]]]])
    mask = torch.tensor([[[[0.0, 0.0]]], [[[1.0, 1.0]]]])
    base = torch.nn.L1Loss()
    criterion = AugmentedSaliencyLoss(base, editing_weight=0.0, pair_weight=2.0)
    given = (prediction, saliency_map, edited, mask, torch.tensor([False, True]))
    assert criterion(*given).item() == pytest.approx(0.2, abs=1e-7)
    assert criterion(*given, edited_map).item() == pytest.approx(0.2 + 2 * 0.125, abs=1e-7)


def test_a_batch_without_an_edit_has_no_pair():
    prediction = torch.rand(2, 1, 4, 4, requires_grad=True)
    edited = torch.rand(2, 1, 4, 4, requires_grad=True)
    criterion = AugmentedSaliencyLoss(torch.nn.L1Loss(), editing_weight=0.0)
    none = torch.zeros(2, 1, 4, 4)
    loss = criterion(prediction, none, edited, none, None, none)
    assert loss.item() == criterion(prediction, none, edited, none, None).item()
    loss.backward()
    assert not edited.grad.any()
