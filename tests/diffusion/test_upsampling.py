import pytest
import torch
import torch.nn.functional as F

from augsal_transforms.diffusion.loading import load_model
from augsal_transforms.diffusion.upsampling import UpsamplingConvolution, upsample_and_convolve


def test_one_pixel_by_hand():
    # A pixel of 2 becomes 2×2 of them. With padding 1, the kernel about the first covers its centre, right, lower and
    # lower right cells, 5 + 6 + 8 + 9 = 28, times 2, plus the bias: 57; about the others 4 5 7 8, 2 3 5 6 and 1 2 4 5.
    kernel = torch.arange(1.0, 10).view(1, 1, 3, 3).double()
    made = upsample_and_convolve(torch.full((1, 1, 1, 1), 2.0).double(), kernel, torch.ones(1).double())
    assert made.tolist() == [[[[57.0, 49.0], [33.0, 25.0]]]]


@pytest.mark.parametrize("bias", [True, False])
def test_it_equals_upsampling_and_convolution(bias):
    torch.manual_seed(0)
    images, layer = torch.randn(2, 3, 5, 4).double(), torch.nn.Conv2d(3, 6, 3, padding=1, bias=bias).double()
    expected = layer(F.interpolate(images, scale_factor=2.0, mode="nearest"))
    assert torch.allclose(UpsamplingConvolution(layer)(images), expected, atol=1e-12)


def test_changed_weights_count():
    layer = UpsamplingConvolution(torch.nn.Conv2d(1, 1, 3, padding=1, bias=False))
    first = layer(torch.ones(1, 1, 2, 2))
    with torch.no_grad():
        layer.conv.weight *= 2
    assert torch.allclose(layer(torch.ones(1, 1, 2, 2)), 2 * first)


def test_a_loaded_decoder_decodes_as_diffusers_own(sd1_folder):
    from diffusers import AutoencoderKL

    model = load_model(sd1_folder, device="cpu", dtype=torch.float32)
    own = AutoencoderKL.from_pretrained(sd1_folder, subfolder="vae", local_files_only=True).eval()
    joined = [m for m in model.vae.decoder.modules() if isinstance(m, UpsamplingConvolution)]
    assert len(joined) == len(model.vae.config.block_out_channels) - 1
    assert list(model.vae.state_dict()) == list(own.state_dict())
    latents = torch.randn(2, 4, 8, 12, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(model.vae.decode(latents).sample, own.decode(latents).sample, atol=1e-5)
