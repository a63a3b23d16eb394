"""benchmarks/edit_throughput.py and peers.py: passes of each method, on tiny pipelines."""

import argparse
import json

import edit_throughput
import pytest
import torch
from counting import Cost, Method, measure_cost
from edit_throughput import Inputs, null_text_method, our_methods, released_methods
from peers import Steps, diffusers_methods
from torchvision.transforms.v2.functional import to_pil_image

from augsal_transforms import SaliencyEditor


@pytest.fixture(scope="module")
def editor(sd1_folder):
    """An editor for this file alone: the pipelines of others leave its weights in another layout."""
    return SaliencyEditor.from_pretrained(str(sd1_folder))


@pytest.fixture(scope="module")
def inputs():
    return Inputs.render(2, 64)


def counts(method):
    cost = measure_cost(method)
    return cost.unet, cost.encodes, cost.decodes


def test_ours_costs_one_and_j_passes(editor, inputs):
    # Per edit, J of an image: (1 + J) / J U-Net passes and decodes, 1 / J encodes; warm: one of each, no encode.
    found = {method.name: counts(method) for method in our_methods(editor, inputs)}
    assert found == {
        "ours, J = 1, cold": (2, 1, 2),
        "ours, J = 1, warm": (1, 0, 1),
        "ours, J = 4, cold": (1.25, 0.25, 1.25),
        "ours, J = 4, warm": (1, 0, 1),
    }


def test_the_released_procedure_costs_six_and_eight_an_attempt(editor, inputs):
    # 6 + 8 k U-Net passes, 2 + k encodes, 2 k decodes.
    found = {method.name: counts(method) for method in released_methods(editor, inputs, "eager", fused=False)}
    assert found == {"released, k = 1, eager": (14, 3, 2), "released, k = 4, eager": (38, 6, 8)}


def test_null_text_is_extrapolated_to_nine_hundred_passes(editor, inputs):
    # 50 of inversion, 50 · (1 + 10 + 2) of optimisation, 50 · 4 of editing: one step in fifty makes 18.
    cost = measure_cost(null_text_method(editor, inputs, 1))
    assert cost.unet == pytest.approx(900)


def test_diffusers_pipelines_cost_what_their_steps_say(editor, inputs):
    methods = diffusers_methods(editor.model, to_pil_image(inputs.images[0]), "a dog", Steps.smoke())
    found = {m.name: counts(m) for m in methods if m.name != "LEDITS++"}  # it needs maps a tiny U-Net does not have
    # DiffEdit, 5 steps at strength 0.8: 10 maps of 4 samples, 4 inversions and 4 steps of 2.
    # pix2pix-zero, 2 steps: 2 of inversion, then thrice 2 of 2. img2img: 3 of 10 steps of 2.
    assert found == {"DiffEdit": (56, 11, 1), "pix2pix-zero": (14, 1, 2), "img2img, strength 0.3": (6, 1, 1)}


def test_ours_and_the_released_procedure_can_be_measured_alone(sd1_folder):
    options = argparse.Namespace(
        folder=sd1_folder, device="cpu", dtype="bfloat16", released_only=True, smoke=True, batch=1
    )
    found = {method.name: method.unet.dtype for method in edit_throughput.all_methods(options)}
    assert {name.split(",")[0] for name in found} == {"ours", "released"}
    assert found["ours, J = 1, cold"] == found["released, k = 1, at its best"] == torch.bfloat16
    assert found["released, k = 1, as released"] == torch.float32


def test_what_cannot_run_is_skipped_with_its_reason(editor, capsys):
    def fail():
        raise ValueError("no such map\nand more")

    networks = (editor.model.unet, editor.model.vae)
    methods = [Method("broken", fail, *networks), Method("nothing", lambda: None, *networks)]
    costs, skipped = edit_throughput.measure(methods, 1, {torch.float32: 1.0})
    edit_throughput.print_table(costs, skipped)
    assert skipped == {"broken": "ValueError: no such map"}
    assert "skipped: ValueError: no such map" in capsys.readouterr().out


def test_the_bars_are_read_off_ratios_of_seconds():
    seconds = {"ours, J = 1, cold": 1.0, "ours, J = 4, cold": 7 / 9, "released, k = 1, at its best": 7.0}
    costs = [Cost(name, 1, 1, 1, 1.0, value) for name, value in seconds.items()]
    for cuda in (True, False):
        found = {f.name: (f.value, f.bar, f.holds) for f in edit_throughput.ratios(costs, cuda=cuda)}
        assert found == {
            "J = 1 against released, k = 1, at its best": ("7.0 ×", "6 ×", True),
            "J = 4 against released, k = 1, at its best": ("9.0 ×", "10 ×", False),
        }


def test_a_share_of_the_ceiling_and_memory_are_asked_for_on_a_gpu():
    cold = Cost("ours, J = 1, cold", 2, 1, 2, 8e12, 0.02, share_of_ceiling=0.5, gigabytes=12.5)
    fourfold = Cost("ours, J = 4, cold", 1.25, 0.25, 1.25, 4e12, 0.01, share_of_ceiling=0.35, gigabytes=20.0)
    assert [figure.holds for figure in edit_throughput.limits([cold, fourfold])] == [True, False]


@pytest.mark.slow
def test_the_whole_table_is_printed_and_written(sd1_folder, tmp_path):
    options = ["--smoke", "--batch", "2", "--rounds", "1", "--json", str(tmp_path / "costs.json")]
    result = edit_throughput.main(["--folder", str(sd1_folder), *options])
    assert json.loads((tmp_path / "costs.json").read_text()) == json.loads(json.dumps(result))
    assert len(result["costs"]) + len(result["skipped"]) == 18
