import json
import math
import shutil
import socket
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from augsal_transforms import Brightness, SaliencyEditor
from augsal_transforms.diffusion.hub import locate_model
from augsal_transforms.diffusion.loading import load_model


def load(folder, dtype=torch.float32):
    return load_model(folder, device=torch.device("cpu"), dtype=dtype)


def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def edit_json(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_the_bundled_editor_is_a_folder_of_the_package():
    folder = locate_model("bundled")
    assert (folder / "unet" / "config.json").exists()


def test_an_unknown_name_says_what_names_there_are():
    with pytest.raises(ValueError, match=r"'bundled', 'sd-v1-5', the folder .* 'no-such-model'"):
        locate_model("no-such-model")


OFFLINE = """
import socket

def refuse(*args, **options):
    raise AssertionError("a host was looked up")

socket.getaddrinfo = refuse
from augsal_transforms import SaliencyEditor
try:
    SaliencyEditor.from_pretrained("sd-v1-5"{option})
except FileNotFoundError as error:
    message = str(error)
for part in ("stable-diffusion-v1-5/stable-diffusion-v1-5", "{reason}", "from_pretrained", "451f4fe", "'bundled'"):
    assert part in message, message
"""


@pytest.mark.parametrize(
    ("option", "variable", "reason"),
    [(", local_files_only=True", "0", "no connection is made here"), ("", "1", "offline mode is on")],
)
def test_a_model_that_is_not_on_disk_fails_without_asking_anyone_when_offline(option, variable, reason, tmp_path):
    environment = {"HF_HUB_OFFLINE": variable, "HF_HOME": str(tmp_path), "PATH": "/usr/bin", "PYTHONWARNINGS": "ignore"}
    subprocess.run([sys.executable, "-c", OFFLINE.format(option=option, reason=reason)], check=True, env=environment)


UNREACHABLE = """
import socket, sys, threading

def hang(*args, **options):
    threading.Event().wait()

if sys.argv[1] == "hangs":
    socket.getaddrinfo = hang
from augsal_transforms import SaliencyEditor
try:
    SaliencyEditor.from_pretrained("sd-v1-5")
except FileNotFoundError as error:
    assert "cannot be fetched" in str(error) and "or give the folder of a pipeline" in str(error), error
else:
    raise AssertionError("something was loaded")
"""


@pytest.mark.parametrize("network", ["hangs", "refuses"])
def test_a_hub_that_does_not_answer_is_given_up_with_what_to_do(network, tmp_path):
    """A name server that never answers, and port 9 of this machine, where nobody listens."""
    environment = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path), "PATH": "/usr/bin"}
    subprocess.run([sys.executable, "-c", UNREACHABLE, network], check=True, env=environment, timeout=120)


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "tokenizer", "scheduler"])
def test_a_missing_part_is_named(sd1_folder, tmp_path, part):
    folder = copy(sd1_folder, tmp_path)
    shutil.rmtree(folder / part)
    with pytest.raises(FileNotFoundError, match=f"lacks {part}"):
        load(folder)


def test_pickled_weights_are_not_read(sd1_folder, tmp_path):
    folder = copy(sd1_folder, tmp_path)
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save(load_file(weights), folder / "unet" / "diffusion_pytorch_model.bin")
    weights.unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks unet/diffusion_pytorch_model\.safetensors"):
        load(folder)


def test_inpainting_and_sdxl_models_are_refused_by_name(sd1_folder, tmp_path):
    folder = copy(sd1_folder, tmp_path)
    edit_json(folder / "unet" / "config.json", in_channels=9)
    with pytest.raises(ValueError, match=r"takes 9 channels where the VAE makes 4: an inpainting"):
        load(folder)
    edit_json(folder / "unet" / "config.json", in_channels=4, addition_embed_type="text_time")
    with pytest.raises(ValueError, match="is an SDXL pipeline"):
        load(folder)


def test_save_and_load_is_a_round_trip(sd1_folder, tmp_path):
    folder = copy(sd1_folder, tmp_path)
    first = load(folder)
    image, context = torch.rand(1, 3, 64, 64), torch.randn(1, 77, 32)
    latent = first.encode(image)
    noise = first.predict_noise(latent, 201, context)
    for part in ("unet", "vae", "text_encoder", "tokenizer"):
        getattr(first, part).save_pretrained(folder / part)
    second = load(folder)
    assert torch.allclose(second.encode(image), latent, atol=1e-6)
    assert torch.allclose(second.predict_noise(latent, 201, context), noise, atol=1e-6)
    assert torch.allclose(second.decode(latent), first.decode(latent), atol=1e-6)


def test_everything_is_frozen_and_in_evaluation_mode(editor):
    for network in (editor.model.unet, editor.model.vae, editor.model.text_encoder):
        assert not network.training
        assert not any(parameter.requires_grad for parameter in network.parameters())


def test_encoding_takes_the_mode_of_images_in_minus_one_to_one(editor):
    image = torch.rand(1, 3, 64, 64)
    vae = editor.model.vae
    with torch.no_grad():
        expected = vae.encode(2 * image - 1).latent_dist.mean * vae.config.scaling_factor
    assert torch.allclose(editor.model.encode(image), expected)
    assert torch.equal(editor.model.encode(image), editor.model.encode(image))


def test_a_step_to_a_timestep_and_back_with_the_same_noise_is_the_identity(editor):
    latent, noise = torch.randn(1, 4, 8, 8), torch.randn(1, 4, 8, 8)
    there = editor.model.step(latent, noise, None, 201)
    signal, sigma = editor.model.rates(201)
    assert torch.allclose(there, signal * latent + sigma * noise, atol=1e-6)
    assert torch.allclose(editor.model.step(there, noise, 201, None), latent, atol=1e-5)


def test_v_prediction_is_turned_into_noise(sd2_folder, sd1_folder):
    # With v = √ā ε − √(1−ā) x0 the noise is √ā v + √(1−ā) z.
    model = load(sd2_folder)
    assert model.prediction_type == "v_prediction"
    noisy, context = torch.randn(1, 4, 16, 16), torch.randn(1, 77, 32)
    with torch.no_grad():
        output = model.unet(noisy, 201, encoder_hidden_states=context).sample
    alpha = model.alphas[201].item()
    expected = math.sqrt(alpha) * output + math.sqrt(1 - alpha) * noisy
    assert torch.allclose(model.predict_noise(noisy, 201, context), expected, atol=1e-6)


def test_timesteps_rise_to_the_share_asked_for_and_never_fall_below_zero(editor):
    assert editor.model.timesteps(1, 0.2) == [None, 200]
    assert editor.model.timesteps(6, 0.83) == [None, 138, 277, 415, 553, 692, 830]
    assert editor.model.timesteps(2, 0.9999) == [None, 500, 999]
    assert min(editor.model.timesteps(50, 0.01)[1:]) >= 1


def test_the_noise_table_is_stable_diffusions(editor):
    # The scaled-linear table of SD 1.x: σ = .496 and σ/√ā = .572 at t = 200.
    signal, sigma = editor.model.rates(200)
    assert sigma == pytest.approx(0.496, abs=1e-3)
    assert sigma / signal == pytest.approx(0.572, abs=1e-3)


def test_the_vae_is_retried_in_float32_where_half_precision_overflows(sd1_folder):
    model = load(sd1_folder, torch.float16)
    with torch.no_grad():
        for parameter in model.vae.decoder.conv_norm_out.parameters():
            parameter.mul_(30000)
        model.vae.decoder.conv_out.weight.div_(1000)
    decoded = model.decode(torch.randn(1, 4, 16, 16))
    assert decoded.isfinite().all()
    assert model.vae.dtype == torch.float16


@torch.no_grad()
def test_an_image_that_overflows_half_precision_is_edited_all_the_same(sd1_folder):
    """The U-Net in bfloat16, the VAE in float16 and beyond its range at both ends: float32's result, to the bit."""
    editors = [SaliencyEditor.from_pretrained(str(sd1_folder), dtype=torch.bfloat16) for _ in range(2)]
    for editor in editors:
        vae = editor.model.vae.float()
        for coder in (vae.encoder, vae.decoder):
            coder.conv_norm_out.weight.mul_(30000)
            coder.conv_out.weight.div_(1000)
        vae.half()
    editors[1].model.vae.float()  # with the weights that half precision rounded
    image, half = torch.rand(1, 3, 64, 64), editors[0].model.vae
    assert not half.encode((2 * image - 1).half()).latent_dist.mode().isfinite().all()
    given = [(image[0] * 255).byte()], [torch.ones(1, 64, 64)], ["a dog"], [Brightness(0.1)]
    results = [editor.edit(*given)[0] for editor in editors]
    assert half.dtype == torch.float16
    assert torch.equal(results[0].image, results[1].image)
    assert results[0].is_edited


def test_loading_the_bundled_editor_needs_no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a socket was opened")

    for name in ("getaddrinfo", "create_connection"):
        monkeypatch.setattr(socket, name, refuse)
    assert SaliencyEditor.from_pretrained("bundled").calibration.calibrated


@torch.no_grad()
def test_the_vae_never_takes_more_pixels_at_once_than_a_gpu_can_count(editor, monkeypatch):
    seen = []
    hook = editor.model.vae.decoder.register_forward_pre_hook(lambda module, arguments: seen.append(len(arguments[0])))
    monkeypatch.setattr("augsal_transforms.diffusion.model.VAE_PIXELS", 4 * 32 * 32)
    latents = torch.randn(9, 4, 8, 8, generator=torch.Generator().manual_seed(0))  # nine images of 32 px
    decoded = editor.model.decode(latents)
    hook.remove()
    assert seen == [3, 3, 3]
    one_by_one = torch.cat([editor.model.decode(latent[None]) for latent in latents])
    assert torch.allclose(decoded, one_by_one, atol=1e-5)
