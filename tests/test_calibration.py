import json

import pytest
import torch

from augsal_transforms import Calibration, SaliencyEditor, calibrate
from augsal_transforms.editor.calibration import correct_gain, fit_decoder
from augsal_transforms.editor.edits import shift_brightness


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


def test_the_grey_latent_decodes_to_its_grey():
    generator = torch.Generator().manual_seed(0)
    decoder, intercept = torch.randn(4, 3, generator=generator), torch.tensor([0.3, -0.2, 0.1])
    calibration = Calibration(decoder, intercept, torch.linalg.pinv(decoder), torch.ones(6), True, "test")
    latent = calibration.grey_latent(torch.tensor([[0.25]]))[0, :, 0, 0]
    assert torch.allclose(latent @ decoder + intercept, torch.full((3,), 0.25), atol=1e-5)


def test_gain_correction_by_hand():
    # Half of red arrives and a tenth leaks into green: G = [[.5, .1, 0], [0, 1, 0], [0, 0, 2]].
    gain = torch.tensor([[0.5, 0.1, 0], [0, 1, 0], [0, 0, 2]])
    corrected = correct_gain(torch.eye(3, 4), gain)
    # Asking for one unit of red along the corrected row must decode to (1, 0, 0): row · [A = I] · G.
    assert torch.allclose(corrected[:, :3] @ gain, torch.eye(3), atol=1e-6)


def test_round_trip_beside_a_model(tmp_path):
    published, config = Calibration.published(), {"scaling_factor": 0.18215, "_name_or_path": "anywhere"}
    published.save(tmp_path, config)
    loaded = Calibration.load(tmp_path, {**config, "_name_or_path": "elsewhere"})
    assert torch.equal(loaded.gamma, published.gamma)
    assert torch.equal(loaded.deviations, published.deviations)
    assert (loaded.calibrated, loaded.source) == (False, published.source)


def test_a_calibration_of_another_vae_is_refused(tmp_path):
    Calibration.published().save(tmp_path, {"scaling_factor": 0.18215})
    with pytest.raises(ValueError, match=r"another VAE .* augsal calibrate --editor"):
        Calibration.load(tmp_path, {"scaling_factor": 0.13})


def test_without_a_file_the_published_factors_are_used_and_say_so(sd1_folder):
    calibration = SaliencyEditor.from_pretrained(str(sd1_folder)).calibration
    assert not calibration.calibrated
    assert "published" in calibration.source


def test_too_few_images_and_untrained_decoders_are_refused(editor):
    with pytest.raises(ValueError, match="32 or more"):
        calibrate(editor, [torch.rand(3, 16, 16)] * 3)


def test_the_whole_path_returns_what_calibration_promised(bundled):
    """After gain correction, a tenth of full scale asked for along each channel comes out as a tenth."""
    from dataclasses import replace

    from augsal_transforms.data.scenes import render_scene
    from augsal_transforms.editor.calibrate import measure_gain

    images = [render_scene(n, seed=901).image for n in range(32)]
    calibration = calibrate(bundled, images, probes=6)
    assert calibration.calibrated
    gain = measure_gain(replace(bundled, calibration=calibration), images[:6])
    assert torch.allclose(gain, torch.eye(3), atol=0.05)


def test_the_description_is_plain_json(tmp_path):
    Calibration.published().save(tmp_path, {})
    description = json.loads((tmp_path / "augsal_calibration.json").read_text())
    assert description["calibrated"] is False
