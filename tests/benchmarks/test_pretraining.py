"""benchmarks/table2/pretraining.py: the encoder learns which object is where, once for all trials."""

from dataclasses import replace

import pytest
import torch
from table2.pretraining import (
    Pretraining,
    draw_batch,
    kinds_in_cells,
    pretrain,
    pretrained,
    to_cells,
)
from table2.training_set import shrink
from table2.trial import normalise
from torch import nn

from augsal_transforms.scenes.scenes import Scene, SceneObject, render_scene
from augsal_transforms.scenes.shapes import KINDS

SHORT = Pretraining(scenes=4, steps=2, batch_size=2, size=32)


class Encoder(nn.Module):
    """Features at strides 8 and 16."""

    def __init__(self):
        super().__init__()
        self.fine = nn.Sequential(nn.Conv2d(3, 8, 8, 8), nn.BatchNorm2d(8), nn.ReLU())
        self.coarse = nn.Conv2d(8, 4, 2, 2)

    def forward(self, images):
        fine = self.fine(images)
        return [fine, self.coarse(fine)]


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.readout = Encoder(), nn.Conv2d(8, 1, 1)


def test_a_cell_is_of_the_kind_that_covers_most_of_it():
    def thing(kind, rows, columns):
        mask = torch.zeros(96, 96, dtype=torch.bool)  # in cells of 8 pixels
        mask[rows, columns] = True
        return SceneObject(kind, "red", mask, (0, 0, 1, 1), named=True)

    car, mug = thing("car", slice(0, 8), slice(0, 8)), thing("mug", slice(0, 8), slice(8, 11))
    fish, crumb = thing("fish", slice(0, 8), slice(11, 16)), thing("mug", slice(8, 10), slice(0, 8))  # a quarter
    cells = kinds_in_cells(Scene(torch.zeros(3, 96, 96), "", (car, mug, fish, crumb)))
    assert cells[0, 0] == 1 + list(KINDS).index("car")
    assert cells[0, 1] == 1 + list(KINDS).index("fish")  # 5 columns of 8, beside the mug's 3
    assert cells.count_nonzero() == 2


def test_images_and_kinds_are_mirrored_together():
    scene = render_scene(3, SHORT.series)
    mirrored = [replace(thing, mask=thing.mask.flip(-1)) for thing in scene.objects]
    flipped = Scene(scene.image.flip(-1), scene.caption, tuple(mirrored))
    drawn = draw_batch(shrink(scene.image, 32)[None], kinds_in_cells(scene)[None], 2, step=1)
    assert torch.equal(drawn[0][0], shrink(flipped.image, 32))
    assert torch.equal(drawn[1][1], kinds_in_cells(flipped))
    assert not torch.equal(drawn[1][1], kinds_in_cells(scene))


def test_an_encoder_learns_to_name_objects():
    torch.manual_seed(0)
    longer, losses = replace(SHORT, steps=60, learning_rate=3e-3), []

    def loss_of(encoder):
        images = torch.stack([shrink(render_scene(n, SHORT.series).image, SHORT.size) for n in range(4)])
        kinds = torch.stack([kinds_in_cells(render_scene(n, SHORT.series)) for n in range(4)])
        features = to_cells(encoder.eval()(normalise(images))[0]).movedim(1, -1).reshape(-1, 8)
        fitted = torch.linalg.lstsq(features, nn.functional.one_hot(kinds.flatten(), len(KINDS) + 1).float()).solution
        return (features @ fitted - nn.functional.one_hot(kinds.flatten(), len(KINDS) + 1)).square().mean().item()

    first = Encoder()
    losses = [loss_of(first), loss_of(pretrain(first.train(), longer))]
    assert losses[1] < losses[0]


def test_the_weights_are_made_once_and_every_network_starts_with_them(tmp_path):
    path, steps = tmp_path / "runs" / "encoder.safetensors", []
    state = torch.get_rng_state()
    build = pretrained(Network, path, SHORT, steps=lambda numbers: steps.extend(numbers) or numbers)
    assert torch.equal(torch.get_rng_state(), state)
    assert steps == [0, 1]
    pretrained(Network, path, SHORT, steps=pytest.fail)
    one, other = build(), build()
    for name, value in one.encoder.state_dict().items():
        assert torch.equal(value, other.encoder.state_dict()[name])
    assert not torch.equal(one.readout.weight, other.readout.weight)
