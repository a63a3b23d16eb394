import json
from itertools import combinations

import PIL.Image
import pytest
import torch
from draw_figures import CURVES, OTHERS, OURS, PAGE, main, read_curves, read_throughput, smooth
from kornia.color import linear_rgb_to_rgb, rgb_to_lab, rgb_to_linear_rgb

from augsal_transforms.lettering import INK, MARK

# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB.
DEFICIENCIES = {
    "none": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def lab(colors, deficiency):
    """Colours, as seen with a deficiency, in CIELAB (N, 3)."""
    rgb = torch.tensor(colors, dtype=torch.float64)[:, :, None, None] / 255
    matrix = torch.tensor(DEFICIENCIES[deficiency], dtype=torch.float64)
    seen = torch.einsum("ij,njhw->nihw", matrix, rgb_to_linear_rgb(rgb)).clamp(0, 1)
    return rgb_to_lab(linear_rgb_to_rgb(seen))[:, :, 0, 0]


def of_hex(color):
    return [int(color[n : n + 2], 16) for n in (1, 3, 5)]


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
@pytest.mark.parametrize("palette", [[*map(of_hex, CURVES)], [of_hex(OURS), of_hex(OTHERS)], [INK, MARK]])
def test_colours_stay_apart_for_every_reader(palette, deficiency):
    seen = lab(palette, deficiency)
    # ΔE of 2.3 is just noticeable; 20 is told apart at a glance.
    assert all((a - b).norm() > 20 for a, b in combinations(seen, 2))


def test_throughput_is_drawn_from_the_page_and_from_json(tmp_path):
    assert read_throughput(PAGE)["ours, J = 1, cold"] > 1
    table = tmp_path / "edit_throughput.json"
    table.write_text(json.dumps({"costs": [{"name": "ours", "seconds": 0.5}, {"name": "peer", "seconds": 4}]}))
    assert read_throughput(table) == {"ours": 2.0, "peer": 0.25}
    main(["--throughput", str(table), "--out", str(tmp_path)])
    with PIL.Image.open(tmp_path / "throughput.png") as picture:
        assert picture.width > 400


def test_curves_are_drawn_from_both_trainings(tmp_path):
    losses, metrics = tmp_path / "losses.json", tmp_path / "metrics.json"
    losses.write_text(json.dumps({"without": [3.0, 1.0], "with": [4.0, 2.0]}))
    metrics.write_text(json.dumps({"history": [{"step": 50, "a": 1.0}, {"step": 100, "a": 0.5, "b": 2.0}]}))
    assert read_curves(losses) == {"without": ([1, 2], [3.0, 1.0]), "with": ([1, 2], [4.0, 2.0])}
    assert read_curves(metrics) == {"a": ([50, 100], [1.0, 0.5]), "b": ([100], [2.0])}
    main(["--curves", str(losses), "--out", str(tmp_path)])
    with PIL.Image.open(tmp_path / "curves.png") as picture:
        assert picture.width > 400


def test_files_without_numbers_are_refused(tmp_path):
    (tmp_path / "page.md").write_text("no table")
    (tmp_path / "losses.json").write_text("{}")
    with pytest.raises(ValueError, match="images a second by method"):
        read_throughput(tmp_path / "page.md")
    with pytest.raises(ValueError, match="losses of at least one step"):
        read_curves(tmp_path / "losses.json")


def test_a_running_mean_looks_back():
    assert smooth([1.0, 3.0, 5.0, 7.0], 2) == [1.0, 2.0, 4.0, 6.0]
