"""What the benchmarks count, on tiny pipelines."""

import json
from functools import partial

import edit_throughput
import pytest
import scaling
import speed_steps
import torch
import training_overhead
from counting import Cost, Method, Roofline, alternate, count_samples, measure_cost
from edit_throughput import Inputs, null_text_method, our_methods, released_methods
from peers import Steps, diffusers_methods
from torchvision.transforms.v2.functional import to_pil_image

from augsal_transforms import SaliencyEditor


@pytest.fixture(scope="module")
def editor(sd1_folder):
    """One of its own: the peers' pipelines leave its weights in another layout, which moves the last bits."""
    return SaliencyEditor.from_pretrained(str(sd1_folder))


@pytest.fixture(scope="module")
def inputs():
    return Inputs.render(2, 64)


def counts(method):
    cost = measure_cost(method)
    return cost.unet, cost.encodes, cost.decodes


def test_samples_are_counted_and_the_hooks_taken_off_again():
    network = torch.nn.Conv2d(1, 1, 1)
    with count_samples(layer=network) as seen:
        network(torch.zeros(3, 1, 2, 2))
        network(torch.zeros(2, 1, 2, 2))
    assert seen == {"layer": 5}
    assert not network._forward_hooks


def test_operations_of_a_share_are_scaled_to_the_whole_and_to_one_edit(editor):
    # A product of 4×5 and 5×6 matrices: 2 · 4 · 5 · 6 = 240 operations; two edits, a fifth of the method: 240 / 0.4.
    left, right = torch.ones(4, 5), torch.ones(5, 6)
    method = Method("product", lambda: left @ right, editor.model.unet, editor.model.vae, edits=2, share=0.2)
    assert measure_cost(method).operations == pytest.approx(600)


def test_fused_attention_counts_as_the_products_it_is_made_of(editor):
    # Q Kᵀ and its product with V, 8 queries, 8 keys, 4 channels, 1 head: 2 · (2 · 8 · 8 · 4) = 1024.
    query = torch.rand(1, 1, 8, 4)
    run = partial(torch.nn.functional.scaled_dot_product_attention, query, query, query)
    assert measure_cost(Method("attention", run, editor.model.unet, editor.model.vae)).operations == 1024


def test_turns_alternate():
    order = []
    alternate({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 2, cuda=False)
    assert order == ["a", "b", "a", "b"]


def test_an_operation_takes_as_long_as_its_arithmetic_or_its_memory():
    # The product: 2 · 4 · 5 · 6 = 240 operations at 1 a second; 4 (20 + 30 + 24) = 296 bytes at 10 a second take less.
    # The sum, elementwise: 4 (24 + 24 + 24) = 288 bytes take 28.8 s.
    left, right, more = torch.ones(4, 5), torch.ones(5, 6), torch.ones(4, 6)
    with Roofline({torch.float32: 1.0}, 10.0) as slow:
        left @ right + more
    assert (slow.seconds, slow.fused) == pytest.approx((268.8, 240))
    with Roofline({torch.float32: 1e9}, 10.0) as narrow:
        left @ right
    assert narrow.seconds == pytest.approx(29.6)


@pytest.mark.parametrize(("layout", "times"), [(torch.channels_last, 1), (torch.contiguous_format, 3)])
def test_a_convolution_in_the_other_layout_moves_its_images_once_more_each_way(layout, times):
    images, kernel = torch.ones(1, 8, 16, 16).to(memory_format=layout), torch.zeros(8, 8, 1, 1)
    with Roofline({torch.float32: 1e12}, 1.0) as roofline:
        torch.nn.functional.conv2d(images, kernel)
    assert roofline.seconds == times * 2 * 8 * 16 * 16 * 4 + 4 * 64  # images in and out, 8 · 16 · 16 floats each


def test_each_step_that_made_edits_faster_is_predicted_and_measured(sd1_folder, tmp_path, capsys):
    options = ["--folder", str(sd1_folder), "--images", "2", "--rounds", "1", "--json", str(tmp_path / "steps.json")]
    gains = {gain.step: gain for gain in speed_steps.main(options)}
    # Of encodes, decodes and passes alike: 1 + 4 in place of 4 · (1 + 1), and an encode in place of four.
    assert 0.5 < gains["four edits of an image share its analysis"].predicted < 5 / 8
    assert gains["the empty prompt encoded once"].predicted <= 1
    assert all(gain.measured > 0 for gain in gains.values())
    assert len(json.loads((tmp_path / "steps.json").read_text())) == len(gains) == 5
    name = "the empty prompt encoded once"
    assert f"| {name} | {gains[name].predicted:.2f} |" in capsys.readouterr().out


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
    seconds = {"ours, J = 1, cold": 1.0, "ours, J = 4, cold": 0.5, "released, k = 1, at its best": 7.0}
    costs = [Cost(name, 1, 1, 1, 1.0, value) for name, value in seconds.items()]
    on_gpu = {f.name: (f.value, f.holds) for f in edit_throughput.ratios(costs, cuda=True)}
    assert on_gpu == {
        "J = 1 against released, k = 1, at its best": ("7.0 ×", True),
        "J = 4 against released, k = 1, at its best": ("14.0 ×", True),
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


def test_slopes_by_hand():
    # y = 3 x^1.5: log y rises by 1.5 for each of log x, whatever the factor.
    assert scaling.slope([1.0, 4.0, 16.0], [3.0, 24.0, 192.0]) == pytest.approx(1.5)


def test_the_cost_of_an_edit_is_compared_with_its_smallest(editor):
    given = [("side", side, scaling.edits_of(editor, side, 1, 1, editor.config)) for side in (32, 64)]
    found = {f.name: f for f in scaling.figures(scaling.measure(given, 1, cuda=False))}
    assert found["side 32"].value == "time × 1.00, operations × 1.00"
    assert float(found["side 64"].value.rsplit(" ", 1)[1]) > 3
    assert found["slope over pixels"].bar == "≤ 1.15"


def test_training_with_the_store_is_compared_with_training_without(capsys):
    found = training_overhead.main(["--images", "2", "--rounds", "1", "--size", "64"])
    assert [figure.bar for figure in found if figure.bar] == ["≤ 2.1 ×", "≤ 2.1 ×"]
    assert len([figure for figure in found if figure.value.endswith(" ms")]) == 5
