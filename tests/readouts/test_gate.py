import pickle
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from helpers.samples import scene

from augsal_transforms import Brightness, Color, Contrast, EditConfig, SaliencyEditor, SaliencyPredictor
from augsal_transforms.diffusion.batching import seeded_noise
from augsal_transforms.editor.passes import denoise
from augsal_transforms.photometry import PROPERTIES, to_unit_range
from augsal_transforms.readouts.features import decoder_features
from augsal_transforms.readouts.gate import secant_strength
from augsal_transforms.readouts.readouts import ReadoutConfig, Readouts

EDITS = [Contrast(1.5), Brightness(0.15), Color("red", 0.5)]


def readouts_with(model, factor, head="brightness", seed=0):
    """Random readouts, one photometric head scaled by ``factor``."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        readouts = Readouts(ReadoutConfig.for_model(model, ["dog"], width=8)).eval().requires_grad_(False)
    for parameter in readouts.photometric.heads[PROPERTIES.index(head)][-1].parameters():
        parameter *= factor
    return readouts


def mute(readouts):
    """Readouts that tell the same of every picture."""
    readouts = deepcopy(readouts)
    for head in readouts.photometric.heads:
        head[-1].weight.zero_()
    return readouts


@pytest.fixture(scope="module")
def keen(editor):
    """An editor whose gate sees a hundred times as much brightness as a random one."""
    return replace(editor, gate=readouts_with(editor.model, 100))


def edit(editor, edits, prompt="a red dog on the street"):
    raw = scene()
    return editor.edit([raw["image"]], [raw["saliency_map"]], [prompt], [edits])


def test_the_secant_by_hand():
    # Red moves by 0.25 and may by 0.1: λ = 0.4. Brightness moves by −0.5 and may by 0.15: λ = 0.3, the smaller.
    before = torch.tensor([[0.25, 0, 0, 0.75, 0, 0]], dtype=torch.float64)
    after = torch.tensor([[0.5, 0, 0, 0.25, 0, 0]], dtype=torch.float64)
    bounds = torch.tensor([0.1, 0.1, 0.1, 0.15, 0.1, 0.1], dtype=torch.float64)
    strength, index = secant_strength(before, after, bounds)
    assert strength.item() == pytest.approx(0.3, abs=1e-12)
    assert PROPERTIES[index] == "brightness"
    # Moves of 0.25 and 0.5 that may be just that: nothing leaves its bound.
    strength, index = secant_strength(before, after, torch.full((6,), 0.5, dtype=torch.float64))
    assert (strength.item(), index.item()) == (1, -1)
    # Two images, each its own; no bound, no limit; and where nothing may move, nothing does.
    both = secant_strength(torch.cat([before, after]), torch.cat([after, after]), bounds)
    assert both[0].tolist() == pytest.approx([0.3, 1])
    assert both[1].tolist() == [3, -1]
    assert secant_strength(before, after, torch.full((6,), torch.inf))[0].item() == 1
    assert secant_strength(before, after, torch.zeros(6))[0].item() == 0


def test_a_gate_that_must_bind_binds_where_its_readings_say(editor, keen):
    """Without a caption nothing is injected: the features are those of plain passes on Z and on Z_E."""
    raw, wanted, model = scene(), Brightness(0.15), editor.model
    (analysis,) = keen.analyse([raw["image"]], [raw["saliency_map"]])
    (result,) = keen.apply([analysis], [wanted])

    edited_latent = wanted.edit_latent(
        analysis.latent, analysis.latent_mask, analysis.properties[None], editor.calibration, editor.config
    )
    output = denoise(model, editor.config, [analysis], edited_latent, model.empty_token, [0.0])
    noise = seeded_noise([raw["image"]], [0], analysis.latent)

    def tell(seen, latent):
        taps, embedding = decoder_features(model, seen, noise, analysis.context, 0.2)
        return keen.gate.photometric(keen.gate.low(taps, embedding, latent), analysis.latent_mask)[0, 0]

    before, after = tell(analysis.latent, analysis.latent), tell(edited_latent, output)
    assert torch.allclose(analysis.readout_properties, before, rtol=1e-4)
    expected = 2 * editor.calibration.std[3] / (after - before)[3].abs()
    assert result.strength == pytest.approx(expected.item(), rel=1e-3)
    assert 0 < result.strength < 0.9
    assert result.bound_by == "brightness (LLFR)"


def test_a_bound_edit_is_that_share_of_the_edit(editor, keen):
    raw = scene()
    plain, gated = (edit(one, [Brightness(0.1)])[0] for one in (editor, keen))
    change, allowed = (to_unit_range(result.image) - to_unit_range(raw["image"]) for result in (plain, gated))
    assert gated.strength < 0.9 * plain.strength
    unclipped = (plain.image > 0) & (plain.image < 255)
    assert (allowed - gated.strength / plain.strength * change)[unclipped].abs().max() <= 1 / 255


def test_a_gate_never_allows_more_than_the_pixels_do(editor):
    strong = [Contrast(1.8), Brightness(0.15), Brightness(0.8), Color("blue", 0.8)]
    plain = edit(editor, strong)
    tellers = set()
    for factor, head in ((1, "red"), (10, "brightness"), (100, "local_contrast"), (1000, "blue")):
        gated = edit(replace(editor, gate=readouts_with(editor.model, factor, head)), strong)
        for one, other in zip(gated, plain, strict=True):
            told = one.bound_by.endswith(" (LLFR)")
            tellers.add(told)
            assert one.strength < other.strength if told else one.strength == other.strength
            assert told or (one.bound_by == other.bound_by and torch.equal(one.image, other.image))
    assert tellers == {True, False}


def test_without_a_gate_or_with_one_that_never_binds_the_pixels_are_the_same(editor):
    assert editor.gate is None
    quiet = replace(editor, gate=mute(readouts_with(editor.model, 1)))
    for one, other in zip(edit(quiet, EDITS), edit(editor, EDITS), strict=True):
        assert torch.equal(one.image, other.image)
        assert (one.strength, one.bound_by) == (other.strength, other.bound_by)


def test_it_costs_no_pass_of_the_networks_and_leaves_no_hook(keen):
    seen, model = {"unet": 0, "encode": 0, "decode": 0}, keen.model
    parts = {"unet": model.unet, "encode": model.vae.encoder, "decode": model.vae.decoder}
    hooks = [
        part.register_forward_hook(lambda m, args, out, name=name: seen.update({name: seen[name] + len(args[0])}))
        for name, part in parts.items()
    ]
    try:
        results = edit(keen, EDITS)
    finally:
        for hook in hooks:
            hook.remove()
    assert any("LLFR" in result.bound_by for result in results)
    assert seen == {"unet": 1 + 3, "encode": 1, "decode": 1 + 3}
    assert not any(module._forward_hooks for module in model.unet.modules())


def test_an_analysis_keeps_six_numbers_and_no_features(keen):
    raw = scene()
    (analysis,) = keen.analyse([raw["image"]], [raw["saliency_map"]])
    assert analysis.readout_properties.shape == (6,)
    assert analysis.readout_properties.untyped_storage().nbytes() <= 8 * 6 * 4


def test_neither_order_nor_company_changes_what_a_gate_allows(keen):
    raw = [scene(n) for n in range(3)]
    inputs = [[sample[key] for sample in raw] for key in ("image", "saliency_map", "prompt")]
    together = keen.edit(*inputs, [Brightness(0.15)] * 3)
    reverse = keen.edit(*(values[::-1] for values in inputs), [Brightness(0.15)] * 3)[::-1]
    assert len({result.strength for result in together}) == 3
    for one, other in zip(together, reverse, strict=True):
        assert one.strength == pytest.approx(other.strength, rel=1e-3)


def test_a_gate_travels_with_its_editor(keen):
    (one,), (other,) = edit(keen, [Brightness(0.15)]), edit(pickle.loads(pickle.dumps(keen)), [Brightness(0.15)])
    assert "LLFR" in one.bound_by
    assert (one.strength, one.bound_by) == (other.strength, other.bound_by)
    assert torch.equal(one.image, other.image)


def test_a_gate_is_loaded_with_its_editor_by_the_name_of_its_folder(editor, keen, tmp_path):
    SaliencyPredictor(editor.model, keen.gate, editor.name).save(tmp_path)
    loaded = SaliencyEditor.from_pretrained(str(editor.model.folder), gate=tmp_path)
    assert edit(loaded, [Brightness(0.15)])[0].strength == pytest.approx(
        edit(keen, [Brightness(0.15)])[0].strength, rel=0.05
    )  # saved in half precision


def test_a_gate_reads_a_model_of_lower_precision(editor, keen):
    lower = SaliencyEditor.from_pretrained(str(editor.model.folder), dtype=torch.bfloat16, gate=keen.gate)
    (one,), (other,) = edit(lower, [Brightness(0.15)]), edit(keen, [Brightness(0.15)])
    assert "LLFR" in one.bound_by
    assert one.strength == pytest.approx(other.strength, rel=0.2)


@pytest.mark.gpu
def test_a_gate_reads_on_the_gpu_and_the_callers_readouts_stay_where_they_are(editor, keen):
    on_gpu = SaliencyEditor.from_pretrained(str(editor.model.folder), device="cuda", gate=keen.gate)
    (one,), (other,) = edit(on_gpu, [Brightness(0.15)]), edit(keen, [Brightness(0.15)])
    assert one.bound_by == other.bound_by
    assert one.strength == pytest.approx(other.strength, rel=0.05)
    assert next(keen.gate.parameters()).device.type == "cpu"


def test_a_gate_that_cannot_read_these_passes_is_refused(editor, keen, sd2_folder):
    with pytest.raises(ValueError, match=r"were trained on the U-Net of another model .*augsal train-readouts"):
        SaliencyEditor.from_pretrained(str(sd2_folder), gate=keen.gate)
    for config in (EditConfig.paper(), EditConfig(noise_level=0.3)):
        with pytest.raises(ValueError, match=r"must have steps=1 and noise_level=0.2, got steps="):
            replace(keen, config=config)


def test_analyses_that_the_gate_has_not_read_are_refused(editor, keen):
    raw = scene()
    analyses = editor.analyse([raw["image"]], [raw["saliency_map"]])
    with pytest.raises(ValueError, match="`analyses` must come from an editor with a `gate`"):
        keen.apply(analyses, [Brightness(0.15)])
