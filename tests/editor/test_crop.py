"""Decoding only the region (editor/crop.py)."""

from dataclasses import replace

import pytest
import torch
from counting import Method, measure_cost

from augsal_transforms import Brightness, Color, Contrast, EditConfig, SaliencyEditor
from augsal_transforms.editor.crop import (
    crop_residual,
    freeze_norms,
    group_norms,
    normalise_groups,
    plan_crops,
    record_norms,
)
from augsal_transforms.gaze_study.synthetic import ObservedScene
from augsal_transforms.store.identity import editor_identity

EDITS = [Contrast(1.5), Brightness(0.15), Color("red", 0.5)]


@pytest.fixture(scope="module")
def given():
    scenes = [ObservedScene.render(index, 4242) for index in range(4)]
    return [s.scene.image for s in scenes], [s.saliency_map for s in scenes], [s.scene.caption for s in scenes]


def cropping(editor):
    return replace(editor, config=EditConfig(decode="crop"))


def test_scale_and_shift_are_what_the_norm_does():
    norm = torch.nn.GroupNorm(2, 4)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    image = torch.randn(3, 4, 5, 6) + 7
    for features in (image, image.to(memory_format=torch.channels_last), image.flatten(2).mT.contiguous().mT):
        normed, scale, shift = normalise_groups(norm, features)
        assert torch.equal(normed, norm(features))
        shape = (3, 4, *(1 for _ in features.shape[2:]))
        assert torch.allclose(features * scale.view(shape) + shift.view(shape), normed, atol=1e-5)


def test_a_box_is_its_masks_and_six_cells_about_it_as_far_as_there_are_any():
    mask = torch.zeros(2, 1, 32, 40)
    mask[0, 0, 10:12, 20:25] = 1  # rows 4 … 17, columns 14 … 30
    mask[1, 0, 0, 39] = 0.1
    scale = torch.arange(2.0)[:, None]
    crops = plan_crops(mask, [(scale, scale)])
    assert [crop.box for crop in crops] == [(4, 18, 14, 31), (0, 7, 33, 40)]
    assert crops[1].norms[0][0].item() == 1


@torch.no_grad()
def test_a_crop_is_the_whole_decoded_with_the_same_statistics_within_a_grey_level(bundled, given):
    model = bundled.model
    analyses = cropping(bundled).analyse(*given)
    for analysis in analyses:
        output = analysis.latent + 0.5 * analysis.latent_mask  # as strong as edits are
        cropped = crop_residual(model, analysis.crop, output, analysis.decoded)
        with freeze_norms(model.vae.decoder, analysis.crop.norms):
            whole = model.decode(output) - analysis.decoded
        error = (analysis.edit_mask * (cropped - whole)[0]).abs().max()
        assert whole.abs().max() > 50 / 255
        assert error <= 1 / 255


def test_an_edit_decoded_in_a_crop_is_nearly_the_same_and_as_exact_outside(bundled, given):
    full, cropped = (editor.edit(*given, [EDITS] * 4) for editor in (bundled, cropping(bundled)))
    for one, other, image in zip(full, cropped, [image for image in given[0] for _ in EDITS], strict=True):
        outside = (other.edit_mask == 0).expand_as(image)
        assert torch.equal(other.image[outside], image[outside])
        assert (one.image.float() - other.image.float()).abs()[~outside].mean() < 1.5
        assert other.strength == pytest.approx(one.strength, abs=0.05)


@torch.no_grad()
def test_a_latent_that_did_not_change_decodes_to_no_change(bundled, given):
    for analysis in cropping(bundled).analyse(*given):
        residual = crop_residual(bundled.model, analysis.crop, analysis.latent, analysis.decoded)[0]
        assert (analysis.edit_mask * residual).abs().max() < 1e-3


def test_a_crop_costs_less(bundled, given):
    def operations(editor):
        analyses = editor.analyse(*given)
        return measure_cost(Method("", lambda: editor.apply(analyses, [EDITS] * 4), unet, vae)).operations

    unet, vae = bundled.model.unet, bundled.model.vae
    assert operations(cropping(bundled)) < 0.85 * operations(bundled)


def test_the_decoder_is_left_as_it_was_found_after_an_error_too(bundled):
    decoder = bundled.model.vae.decoder
    norms = [(torch.ones(1, 1), torch.ones(1, 1)) for _ in group_norms(decoder)]
    for context in (record_norms(decoder), freeze_norms(decoder, norms)):
        with pytest.raises(RuntimeError, match="stop"), context:
            raise RuntimeError("stop")
    assert not any("forward" in vars(norm) for norm in group_norms(decoder))


def test_an_analysis_without_statistics_is_refused(editor):
    analyses = editor.analyse([torch.rand(3, 64, 64)], [torch.ones(1, 64, 64)], ["a dog"])
    with pytest.raises(ValueError, match="decode='crop'"):
        cropping(editor).apply(analyses, [Brightness(0.1)])
    with pytest.raises(ValueError, match="`decode` must be 'full' or 'crop', got 'part'"):
        EditConfig(decode="part")


def test_other_pixels_are_another_editor(editor):
    assert editor_identity(cropping(editor)) != editor_identity(editor)
    assert editor_identity(cropping(editor))["config"]["decode"] == "crop"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_crops_are_decoded_in_lower_precision_too(sd1_folder, dtype):
    lower = SaliencyEditor.from_pretrained(str(sd1_folder), dtype=dtype, config=EditConfig(decode="crop"))
    (result,) = lower.edit([torch.rand(3, 64, 64)], [torch.ones(1, 64, 64)], ["a dog"], [Brightness(0.1)])
    assert result.image.isfinite().all()
    assert result.is_edited
