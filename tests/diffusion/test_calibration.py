import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from augsal_transforms import Calibration, SaliencyEditor, calibrate
from augsal_transforms.diffusion.calibration import correct_gain, fit_decoder
from augsal_transforms.editor.latent_edits import shift_brightness


def test_gamma_of_the_published_factors():
    # 1 A⁺ for the A of reference [32], as worked out in the specification.
    expected = torch.tensor([1.6108, 1.5838, -0.2752, -0.9802])
    assert torch.allclose(Calibration.published().gamma, expected, atol=1e-4)


def test_a_unit_along_gamma_is_a_unit_of_rgb():
    published = Calibration.published()
    assert torch.allclose(published.gamma @ published.decoder, torch.ones(3), atol=1e-5)


def test_a_linear_decoder_is_recovered_and_brightness_arrives_in_full():
    generator = torch.Generator().manual_seed(0)
    decoder, intercept = torch.randn(4, 3, generator=generator), torch.tensor([0.3, -0.2, 0.1])
    latents = torch.randn(500, 4, generator=generator) + 2
    fitted, offset, explained = fit_decoder(latents, latents @ decoder + intercept)
    assert torch.allclose(fitted, decoder, atol=1e-6)
    assert torch.allclose(offset, intercept, atol=1e-5)
    assert explained == pytest.approx(1, abs=1e-9)
    # RGB in [0, 1] is half of RGB in [−1, 1], so 2 α γ raises it by α.
    gamma = torch.linalg.pinv(fitted).sum(0)
    latent = torch.randn(1, 4, 2, 2)
    raised = shift_brightness(latent, torch.ones(1, 1, 2, 2), 0.15, gamma)
    change = ((raised - latent).movedim(1, -1) @ decoder) / 2
    assert torch.allclose(change, torch.full_like(change, 0.15), atol=1e-5)


def test_the_grey_latent_decodes_to_its_grey_whatever_the_gain():
    generator = torch.Generator().manual_seed(0)
    decoder, intercept = torch.randn(4, 3, generator=generator), torch.tensor([0.3, -0.2, 0.1])
    corrected = correct_gain(torch.linalg.pinv(decoder), 0.75 * torch.eye(3))
    calibration = Calibration(decoder, intercept, corrected, torch.ones(6), True, "test")
    latent = calibration.grey_latent(torch.tensor([[0.25]]))[0, :, 0, 0]
    assert torch.allclose(latent @ decoder + intercept, torch.full((3,), 0.25), atol=1e-5)


def test_gain_correction_by_hand():
    # Half of red arrives and a tenth leaks into green: G = [[.5, .1, 0], [0, 1, 0], [0, 0, 2]].
    gain = torch.tensor([[0.5, 0.1, 0], [0, 1, 0], [0, 0, 2]])
    corrected = correct_gain(torch.eye(3, 4), gain)
    # Asking for one unit of red along the corrected row must decode to (1, 0, 0): row · [A = I] · G.
    assert torch.allclose(corrected[:, :3] @ gain, torch.eye(3), atol=1e-6)


def test_round_trip(tmp_path, sd1_folder):
    published = Calibration.published()
    published.save(tmp_path, sd1_folder)
    loaded = Calibration.load(tmp_path, sd1_folder)
    assert torch.equal(loaded.gamma, published.gamma)
    assert torch.equal(loaded.std, published.std)
    assert (loaded.calibrated, loaded.source) == (False, published.source)


def test_a_calibration_of_another_vae_is_refused_until_it_is_measured_again(tmp_path, sd1_folder, sd2_folder):
    folder = shutil.copytree(sd1_folder, tmp_path / "model")
    Calibration.published().save(folder, folder)
    assert SaliencyEditor.from_pretrained(str(folder)).calibration.source == Calibration.published().source
    weights = load_file(folder / "vae" / "diffusion_pytorch_model.safetensors")
    weights["decoder.conv_out.weight"] += 1  # trained on: the same architecture, another VAE
    save_file(weights, folder / "vae" / "diffusion_pytorch_model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"another VAE .* augsal calibrate --editor"):
        SaliencyEditor.from_pretrained(str(folder))
    assert SaliencyEditor.from_pretrained(str(folder), calibration=Calibration.published())


def test_without_a_file_the_published_factors_are_used_and_say_so(sd1_folder):
    calibration = SaliencyEditor.from_pretrained(str(sd1_folder)).calibration
    assert not calibration.calibrated
    assert "published" in calibration.source


def test_too_few_images_and_untrained_decoders_are_refused(editor):
    with pytest.raises(ValueError, match="32 or more"):
        calibrate(editor, [torch.rand(3, 16, 16)] * 3)
    with pytest.raises(ValueError, match="not nearly linear"):
        calibrate(editor, torch.rand(32, 3, 32, 32))


@pytest.mark.slow
def test_the_whole_path_returns_what_calibration_promised(bundled):
    """After gain correction, a tenth of full scale asked for along each channel comes out as a tenth."""
    from dataclasses import replace

    from augsal_transforms.editor.calibrate import measure_gain
    from augsal_transforms.scenes.scenes import render_scene

    images = [render_scene(n, seed=901).image for n in range(32)]
    calibration = calibrate(bundled, images, probes=6)
    assert calibration.calibrated
    gain = measure_gain(replace(bundled, calibration=calibration), images[:6])
    assert torch.allclose(gain, torch.eye(3), atol=0.05)


def test_the_description_is_plain_json(tmp_path, sd1_folder):
    Calibration.published().save(tmp_path, sd1_folder)
    description = json.loads((tmp_path / "augsal_calibration.json").read_text())
    assert description["calibrated"] is False


@pytest.mark.parametrize(
    ("part", "value", "error"),
    [
        ("decoder", torch.zeros(3, 4), ValueError),
        ("intercept", torch.tensor([0.0, torch.nan, 0]), ValueError),
        ("pseudo_inverse", torch.full((3, 4), torch.inf), ValueError),
        ("std", torch.tensor([0.1, 0.1, 0.1, 0.1, 0.1, -0.1]), ValueError),
        ("std", torch.ones(5), ValueError),
        ("std", torch.ones(6, dtype=torch.long), TypeError),
        ("std", [0.1] * 6, TypeError),
        ("calibrated", "yes", TypeError),
        ("source", None, TypeError),
    ],
)
def test_parts_that_cannot_be_are_refused(part, value, error):
    parts = {**vars(Calibration.published()), part: value}
    with pytest.raises(error, match=f"`{part}`"):
        Calibration(**parts)


@pytest.mark.parametrize(
    "tensors",
    [
        {},
        {"decoder": torch.zeros(3, 4)},
        {"deviations": torch.full((6,), torch.nan)},
        {"deviations": -torch.ones(6)},
        {"intercept": torch.zeros(10**6)},
    ],
    ids=["other", "shape", "nan", "negative", "large"],
)
def test_a_broken_calibration_is_a_value_error_with_its_path(tmp_path, sd1_folder, tensors):
    Calibration.published().save(tmp_path, sd1_folder)
    path = tmp_path / "augsal_calibration.safetensors"
    whole = {name: tensor.clone() for name, tensor in load_file(path).items()}
    save_file({**whole, **tensors} if tensors else {"x": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match=r"augsal_calibration\.safetensors .*augsal calibrate"):
        Calibration.load(tmp_path, sd1_folder)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ValueError, match=r"augsal_calibration\.safetensors must be a whole"):
        Calibration.load(tmp_path, sd1_folder)


@pytest.mark.parametrize("content", ["{}", "[]", "", '{"vae": 1, "calibrated": true}', "{" * 50])
def test_a_broken_description_of_a_calibration_is_a_value_error_with_its_path(tmp_path, sd1_folder, content):
    Calibration.published().save(tmp_path, sd1_folder)
    (tmp_path / "augsal_calibration.json").write_text(content)
    with pytest.raises(ValueError, match=r"augsal_calibration\.json"):
        Calibration.load(tmp_path, sd1_folder)
