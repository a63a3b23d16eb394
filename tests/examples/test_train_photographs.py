"""The training of the photographs predictor on a toy in OSIE's form: it resumes, splits by name and writes a card."""

import random
import sys

import numpy as np
import PIL.Image
import pytest
import torch
import train_photographs_predictor
from photographs_training.run import Run, gaze_loss
from photographs_training.samples import draw_batch
from scipy.io import savemat
from train_photographs_predictor import split_by_name

from augsal_transforms import SaliencyPredictor
from augsal_transforms.readouts.gaze_network import GazeNetwork


@pytest.fixture
def osie(tmp_path):
    """Four photographs of coloured noise, each with two viewers of three fixations."""
    (tmp_path / "data" / "stimuli").mkdir(parents=True)
    (tmp_path / "data" / "eye").mkdir()
    draws = np.random.default_rng(0)
    entries = np.empty((4, 1), object)
    for n in range(4):
        pixels = draws.integers(0, 255, (6, 8, 3)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
        PIL.Image.fromarray(pixels).save(tmp_path / "data" / "stimuli" / f"{1001 + n}.jpg")
        viewers = np.empty((2, 1), object)
        for viewer in viewers:
            x, y = draws.uniform(1, 64, (1, 3)), draws.uniform(1, 48, (1, 3))
            viewer[0] = {"fix_x": x, "fix_y": y, "fix_duration": np.ones((1, 3))}
        entries[n, 0] = {"img": f"{1001 + n}.jpg", "subjects": viewers}
    savemat(tmp_path / "data" / "eye" / "fixations.mat", {"fixations": entries})
    return tmp_path


def test_a_smoke_run_writes_a_predictor_that_loads_and_a_card(osie, monkeypatch):
    out = osie / "out"
    arguments = ["--data", str(osie), "--out", str(out), "--runs", str(osie / "runs"), "--smoke", "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", ["train", *arguments])
    train_photographs_predictor.main()
    assert SaliencyPredictor.from_pretrained(out).predict([torch.rand(3, 20, 30)])[0].shape == (1, 20, 30)
    card = (out / "README.md").read_text()
    assert "held out (4): CC " in card
    assert "3 steps" in card


def samples():
    generator = torch.Generator().manual_seed(0)
    return [
        (torch.randint(0, 256, (3, 32, 64), generator=generator, dtype=torch.uint8), torch.rand(1, 16, 32).half())
        for _ in range(8)
    ]


def test_a_run_that_was_stopped_ends_as_one_that_was_not(tmp_path, monkeypatch):
    monkeypatch.setattr("photographs_training.run.SAVE_EVERY", 1)
    monkeypatch.setattr("photographs_training.run.BATCH_SIZE", 2)
    torch.manual_seed(0)
    start, photographs = GazeNetwork().state_dict(), samples()

    def run(name):
        network = GazeNetwork()
        network.load_state_dict(start)
        return Run(network, tmp_path / name, steps=2, device="cpu")

    whole, stopped = run("whole.pt"), run("stopped.pt")
    whole.train(photographs)
    descend = stopped._descend

    def descend_until_the_last(step, *batch):
        if step == 1:
            raise KeyboardInterrupt
        descend(step, *batch)

    stopped._descend = descend_until_the_last
    with pytest.raises(KeyboardInterrupt):
        stopped.train(photographs)
    resumed = run("stopped.pt")
    assert resumed.step == 1
    resumed.train(photographs)
    expected = whole.average.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in resumed.average.state_dict().items())
    assert not torch.equal(expected["readout.0.weight"], start["readout.0.weight"])


def test_maps_move_with_their_images():
    # The map is the image's first channel, so it must be so after cropping and mirroring too; light moves no map.
    row = torch.arange(64.0).expand(1, 32, 64) / 64
    image, small = (row.expand(3, -1, -1) * 255).round().byte(), row[:, ::2, ::2].half()
    for seed in range(6):
        images, maps = draw_batch([(image, small)] * 2, random.Random(seed))
        assert images.shape[-2:] == maps.shape[-2:]
        for picture, saliency_map in zip(images, maps, strict=True):
            assert torch.corrcoef(torch.stack([picture[0].flatten(), saliency_map.flatten()]))[0, 1] > 0.99


def test_the_loss_is_zero_for_the_target_itself_and_two_pixels_are_as_by_hand():
    target = torch.tensor([[[[1.0, 3.0]]]])
    assert gaze_loss(target.log(), target).item() == pytest.approx(0, abs=1e-5)
    # Target (1/4, 3/4), density (1/2, 1/2) + e: KL = ¼ ln ½ + ¾ ln 1.5 = 0.13081. With density (¾, ¼):
    # KL = ¼ ln ⅓ + ¾ ln 3 = 0.54931, correlation −1, so the loss is 0.54931 + 2.
    assert gaze_loss(target.flip(-1).log(), target).item() == pytest.approx(2.54931, abs=1e-4)


def test_parts_do_not_overlap_and_follow_the_names_alone():
    names = [str(1001 + n) for n in range(700)]
    parts = split_by_name(names)
    assert [len(part) for part in parts.values()] == [300, 100, 120]
    assert len(set().union(*parts.values())) == 520
    assert split_by_name(names[::-1]) == parts
