import pytest
import torch
from compact_unisal import CompactUnisal
from table2.compact_models import CentreBias, CompactDeepGaze, CompactSimpleNet, CompactTempSAL

from augsal_transforms import SaliencyLoss

NETWORKS = [CompactUnisal, CompactSimpleNet, CompactDeepGaze, CompactTempSAL]


def images(size=(64, 96)):
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.mark.parametrize("network", NETWORKS)
def test_images_give_maps_and_every_parameter_learns(network):
    model = network()
    prediction = model(images())
    assert prediction.shape == (2, 1, 64, 96)
    assert 0 <= prediction.min() < prediction.max() <= 1
    SaliencyLoss()(prediction, torch.rand(2, 1, 64, 96)).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_deepgazes_map_is_a_density_over_its_peak():
    assert torch.equal(CompactDeepGaze()(images()).amax((1, 2, 3)), torch.ones(2))


def test_the_centre_bias_is_a_gaussian_about_the_centre():
    # A width of 1 in halves of the image: at a corner −(1 + 1) / 2, at the centre of 5 × 3 pixels 0.
    bias = CentreBias()(torch.zeros(1, 3, 5, 3))
    assert bias[0, 0] == bias[4, 2] == -1
    assert bias[2, 1] == 0


def test_tempsals_slices_shape_its_map():
    model = CompactTempSAL(slices=5).eval()
    before = model(images())
    with torch.no_grad():
        model.slices.readout.bias += 3
    assert not torch.allclose(model(images()), before)
