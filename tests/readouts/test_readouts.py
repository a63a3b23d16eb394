import pytest
import torch
from diffusers import UNet2DConditionModel

from augsal_transforms.readouts.features import Aggregator, decoder_convolutions, record_features
from augsal_transforms.readouts.heads import ClassReadout, PhotometricReadout, SaliencyReadout, pool_moments

SD15_TAPS = [[1280] * 3, [1280] * 3, [640] * 3, [320] * 3]


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def test_features_are_the_residual_branches_and_the_unet_is_left_as_found(editor):
    unet, latent = editor.model.unet, torch.randn(2, 4, 32, 32)
    context = torch.randn(2, 5, 32)
    resnet = unet.up_blocks[1].resnets[0]
    outputs = []
    handle = resnet.register_forward_hook(lambda module, inputs, output: outputs.append((inputs[0], output)))
    with torch.no_grad(), record_features(unet) as taps:
        unet(latent, 10, encoder_hidden_states=context)
    handle.remove()
    channels = [conv.out_channels for block in decoder_convolutions(unet) for conv in block]
    assert [tap.shape[1] for tap in taps] == channels
    assert [tap.shape[-1] for tap in taps] == [8, 8, 16, 16, 32, 32]
    (given, returned), branch = outputs[0], taps[2]  # a block's output is its skip plus this branch
    skip = resnet.conv_shortcut(given) if resnet.conv_shortcut is not None else given
    assert torch.allclose(returned * resnet.output_scale_factor, skip + branch, atol=1e-5)
    assert not any("forward" in vars(conv) for block in decoder_convolutions(unet) for conv in block)


def test_the_unet_is_as_it_was_after_an_exception(editor):
    with pytest.raises(ZeroDivisionError), record_features(editor.model.unet):
        raise ZeroDivisionError
    assert not any("forward" in vars(conv) for block in decoder_convolutions(editor.model.unet) for conv in block)


def test_two_recorders_may_be_nested(editor):
    inputs = torch.randn(1, 4, 32, 32), 10, torch.randn(1, 5, 32)
    with torch.no_grad(), record_features(editor.model.unet) as outer, record_features(editor.model.unet) as inner:
        editor.model.unet(*inputs)
    assert len(inner) == 6
    assert all(a is b for a, b in zip(outer, inner, strict=True))


def test_a_network_without_a_decoder_is_refused():
    with pytest.raises(RuntimeError, match="no residual blocks"), record_features(torch.nn.Linear(1, 1)):
        pass


def test_the_exact_sd15_configuration_has_twelve_taps():
    with torch.device("meta"):
        unet = UNet2DConditionModel(
            sample_size=64, block_out_channels=(320, 640, 1280, 1280), cross_attention_dim=768, attention_head_dim=8
        )
        with record_features(unet) as taps:
            unet(torch.empty(1, 4, 64, 64), torch.tensor(10), encoder_hidden_states=torch.empty(1, 77, 768))
    assert [[conv.out_channels for conv in block] for block in decoder_convolutions(unet)] == SD15_TAPS
    assert [tuple(tap.shape[1:]) for tap in taps] == [
        *[(1280, 8, 8)] * 3,
        *[(1280, 16, 16)] * 3,
        *[(640, 32, 32)] * 3,
        *[(320, 64, 64)] * 3,
    ]


def test_sizes_at_sd15():
    """As worked out for C = 128; an aggregator also has 12 mixing logits and 12 timestep layers of 1280 → 32."""
    aggregator = Aggregator(SD15_TAPS, 128, 1280, favour="early")
    assert parameters(aggregator) == 1_857_024 + 12 + 12 * (1280 + 1) * 32
    assert parameters(PhotometricReadout(128).heads[0]) == 66_817
    assert parameters(ClassReadout(128, 91)) == 306_907 + 128 * 128 * 9 + 128  # a third convolution
    assert parameters(SaliencyReadout(128)) == 613_281
    assert parameters(SaliencyReadout(384)) == pytest.approx(5.49e6, rel=0.01)  # the paper's size


@pytest.mark.parametrize(("favour", "favoured"), [("early", slice(0, 6)), ("late", slice(6, 12))])
def test_mixing_starts_toward_the_favoured_blocks(favour, favoured):
    weights = Aggregator(SD15_TAPS, 16, 8, favour=favour).logits.softmax(0)
    assert weights.sum().item() == pytest.approx(1)
    # e² against 1 for six taps each: e² / (1 + e²) = 0.881 of the whole.
    assert weights[favoured].sum().item() == pytest.approx(0.881, abs=1e-3)


def test_aggregated_features_have_the_latents_size_and_depend_on_time_and_latent():
    generator = torch.Generator().manual_seed(0)
    aggregator = Aggregator([[8], [4]], 16, 6, favour="late", latent_channels=4)
    taps = [torch.randn(2, 8, 6, 4, generator=generator), torch.randn(2, 4, 12, 8, generator=generator)]
    latent, time = torch.randn(2, 4, 12, 8, generator=generator), torch.randn(1, 6, generator=generator)
    features = aggregator(taps, time, latent)
    assert features.shape == (2, 16, 12, 8)
    assert not torch.equal(features, aggregator(taps, time + 1, latent))
    assert not torch.equal(features, aggregator(taps, time, latent + 1))


def test_moments_by_hand():
    # One channel 1, 2, 3, 6; the area is the first two cells: mean 1.5, deviation 0.5.
    # The image: mean 3, deviation √((4 + 1 + 0 + 9) / 4) = √3.5.
    features = torch.tensor([1.0, 2, 3, 6]).double().view(1, 1, 2, 2)
    area = torch.tensor([1.0, 1, 0, 0]).double().view(1, 1, 2, 2)
    assert torch.allclose(pool_moments(features, area)[0, 0], torch.tensor([1.5, 0.5, 3, 3.5**0.5]).double(), atol=1e-6)


def test_heads_read_every_area_by_itself():
    generator = torch.Generator().manual_seed(1)
    low, high = torch.randn(2, 2, 16, 8, 8, generator=generator).unbind()
    areas = (torch.rand(2, 3, 8, 8, generator=generator) > 0.5).float()
    for head, features, size in ((PhotometricReadout(16), low, 6), (ClassReadout(16, 5), high, 5)):
        together = head(features, areas)
        assert together.shape == (2, 3, size)
        assert torch.allclose(together[:, 1:2], head(features, areas[:, 1:2]), atol=1e-5)


def test_saliency_is_a_map_in_the_unit_interval_of_any_shape():
    saliency = SaliencyReadout(16)(torch.randn(2, 16, 6, 10), torch.randn(2, 16, 6, 10))
    assert saliency.shape == (2, 1, 6, 10)
    assert saliency.min() > 0
    assert saliency.max() < 1
