"""A kind of edit that the package does not know is stored, found again and counted."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from helpers.datasets import write_folder
from torchvision.transforms.v2.functional import gaussian_blur

from augsal_transforms import EditStore, SaliencyDiffusionAugment
from augsal_transforms.data.folders import SaliencyFolder
from augsal_transforms.editor.edits import Edit
from augsal_transforms.generate.generation import Generation
from augsal_transforms.store.maintenance import damaged_records, statistics


@pytest.fixture
def soften():
    """A kind of edit as somebody else defines it: a blur of the latent, named with a digit and a line."""

    @dataclass(frozen=True)
    class Soften(Edit):
        kind: ClassVar[str] = "soften_2"
        identity: ClassVar[float] = 0.0
        alpha_range: ClassVar[tuple[float, float]] = (-1.0, 1.0)
        alpha_span: ClassVar[float] = 1.0
        alpha: float | tuple[float, float] = (-0.9, -0.5)

        @property
        def color_name(self):
            return "grey" if self.alpha_value < -0.7 else ""

        def edit_latent(self, latent, latent_mask, properties, calibration, config):
            return torch.lerp(latent, gaussian_blur(latent, [5, 5]), -self.alpha_value * latent_mask)

    return Soften


def test_a_new_kind_goes_through_generation_store_and_transform(soften, editor, tmp_path):
    files, store = SaliencyFolder(write_folder(tmp_path / "data", 3)), EditStore(tmp_path / "store")
    edits = (soften(), soften(-0.8), soften(0.25))
    generation = Generation(editor, store, files, edits)
    generation.run(files.names)
    assert generation.counts["made"] == 9
    generation.run(files.names)
    assert generation.counts["reused"] == 9
    found = [(edit.kind, edit.color, edit.alpha) for edit in store.find("photo-1")]
    assert len(found) == 3
    assert {("soften_2", "", 0.25), ("soften_2", "grey", -0.8)} < set(found)
    counts = statistics(store)
    assert (counts["edits"], counts["kinds"]) == (9, {"soften_2": 9})
    assert list(damaged_records(store)) == []
    sample = SaliencyDiffusionAugment(store=store, p=1, seed=0)(files[2])
    assert sample["is_edited"]
    assert sample["edit_kind"] == "soften_2"
