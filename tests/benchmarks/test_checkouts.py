"""Networks of the stand-ins and, where one is given, of the real checkouts, between our pixels and our maps."""

import sys
from pathlib import Path

import pytest
import torch
from helpers.upstream_runs import checkout_of
from table2 import checkouts

CASES = {"unisal": "Unisal", "simplenet": "SimpleNet", "tempsal": "TempSAL", "deepgaze": "DeepGaze"}
KINDS = ["stand-in", pytest.param("real", marks=[pytest.mark.upstream, pytest.mark.slow])]
pytestmark = pytest.mark.filterwarnings("ignore")  # theirs


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CASES)
def test_a_checkouts_network_learns_and_gives_maps(name, kind):
    network = getattr(checkouts, CASES[name])(checkout_of(name, kind), pretrained=False).train()
    prediction = network(torch.randn(2, 3, 256, 256, generator=torch.Generator().manual_seed(0)))
    assert prediction.shape == (2, 1, 256, 256)
    assert 0 <= prediction.min() < prediction.max() <= 1
    (prediction - 0.3).square().mean().backward()
    assert any(parameter.grad is not None and parameter.grad.any() for parameter in network.parameters())


def test_checkouts_whose_modules_share_names_are_told_apart_and_leave_nothing_behind():
    before = Path.cwd(), sys.path[:]
    networks = [getattr(checkouts, CASES[name])(checkout_of(name, "stand-in"), pretrained=False) for name in CASES]
    assert [type(network.network).__name__ for network in networks] == [
        *("UNISAL", "PNASModel", "PNASBoostedModelMultiLevel", "DeepGazeIIE")
    ]
    assert (Path.cwd(), sys.path) == before
    assert not {"model", "unisal", "deepgaze_pytorch"} & set(sys.modules)


@pytest.mark.parametrize(
    ("name", "error", "missing"),
    [
        ("unisal", FileNotFoundError, "mobilenet_v2.pth.tar are missing: they are part of"),
        ("simplenet", FileNotFoundError, "PNASNet-5_Large.pth are missing: download them from"),
        ("tempsal", FileNotFoundError, "multilevel_tempsal.pt are missing: download them from"),
        ("deepgaze", RuntimeError, "downloads the weights of its backbones"),
    ],
)
def test_without_weights_the_error_says_what_to_fetch(name, error, missing):
    with pytest.raises(error, match=missing):
        getattr(checkouts, CASES[name])(checkout_of(name, "stand-in"))


def test_simplenet_refuses_another_size_than_its_own():
    network = checkouts.SimpleNet(checkout_of("simplenet", "stand-in"), pretrained=False)
    with pytest.raises(ValueError, match="pass --size 256"):
        network(torch.zeros(1, 3, 96, 96))


def test_pixels_are_given_as_each_network_wants_them():
    mean, deviation = (torch.tensor(numbers)[:, None, None] for numbers in (checkouts.MEAN, checkouts.STD))
    grey = ((torch.full((1, 3, 256, 256), 0.75) - mean) / deviation).double()
    assert checkouts.from_zero(grey).sub(0.75).abs().max() < 1e-6
    assert checkouts.from_minus_one(grey, "SimpleNet").sub(0.5).abs().max() < 1e-6  # 2 · 0.75 − 1
