import pytest
import torch
import torch.nn.functional as F

from augsal_transforms.diffusion.attention import cross_attention_layers, inject_cross_attention, record_cross_attention
from augsal_transforms.diffusion.loading import load_model


@pytest.fixture(scope="module", params=["sd1_folder", "sd2_folder"])
def unet(request):
    folder = request.getfixturevalue(request.param)
    return load_model(folder, device=torch.device("cpu"), dtype=torch.float32).unet


@pytest.fixture(scope="module")
def inputs():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 4, 32, 32, generator=generator), 201, torch.randn(2, 77, 32, generator=generator)


def run(unet, inputs):
    with torch.no_grad():
        return unet(inputs[0], inputs[1], encoder_hidden_states=inputs[2]).sample


def processors(unet):
    return {name: id(processor) for name, processor in unet.attn_processors.items()}


def test_recording_does_not_change_the_output_at_all(unet, inputs):
    plain = run(unet, inputs)
    with record_cross_attention(unet, depth=1):
        recorded = run(unet, inputs)
    assert torch.equal(plain, recorded)


def test_maps_equal_an_eager_softmax_and_rows_sum_to_one(unet, inputs):
    seen = {}

    def keep(name):
        return lambda module, args, kwargs: seen.update({name: (module, args[0], kwargs["encoder_hidden_states"])})

    layers = [layer for layer, depth in cross_attention_layers(unet).items() if depth == 1]
    hooks = [layer.register_forward_pre_hook(keep(n), with_kwargs=True) for n, layer in enumerate(layers)]
    with record_cross_attention(unet, depth=1) as attention:
        run(unet, inputs)
    for hook in hooks:
        hook.remove()
    expected = []
    for layer, hidden, context in seen.values():
        query, key = layer.to_q(hidden), layer.to_k(context)
        query, key = (x.unflatten(2, (layer.heads, -1)).transpose(1, 2) for x in (query, key))
        expected.append((query @ key.mT * layer.scale).softmax(-1).mean(1))
    maps = attention.average(16, 16)
    assert maps.shape == (2, 77, 16, 16)
    assert torch.allclose(maps, torch.stack(expected).mean(0).mT.reshape(2, 77, 16, 16), atol=1e-6)
    assert torch.allclose(maps.sum(1), torch.ones(2, 16, 16), atol=1e-5)
    assert maps.std() > 1e-4  # attention is not flat, so the comparison means something


def test_injecting_nothing_changes_nothing(unet, inputs):
    with inject_cross_attention(unet, torch.randn(2, 1, 32), torch.zeros(2, 1, 32, 32)):
        assert torch.equal(run(unet, inputs), run(unet, inputs))
        injected = run(unet, inputs)
    assert torch.equal(injected, run(unet, inputs))


def test_injection_equals_replacing_a_column_and_renormalising_the_row(unet, inputs):
    """With the token standing in a context of 78 rows, its column set to m and the rest scaled to 1 − m."""
    torch.manual_seed(0)
    inserted, region, place = torch.randn(2, 1, 32), torch.rand(2, 1, 32, 32), 5
    context = torch.cat([inputs[2][:, :place], inserted, inputs[2][:, place:]], dim=1)
    depths = cross_attention_layers(unet)

    class Explicit:
        def __init__(self, depth):
            self.depth = depth

        def __call__(self, attn, hidden, encoder_hidden_states, **kwargs):
            query, key, value = attn.to_q(hidden), attn.to_k(context), attn.to_v(context)
            query, key, value = (x.unflatten(2, (attn.heads, -1)).transpose(1, 2) for x in (query, key, value))
            weights = (query @ key.mT * attn.scale).softmax(-1)
            size = 32 // 2**self.depth
            m = F.adaptive_avg_pool2d(region, size).flatten(2).mT[:, None]
            rest = weights.clone()
            rest[..., place] = 0
            rest = rest / rest.sum(-1, keepdim=True) * (1 - m)
            rest[..., place : place + 1] = m
            output = (rest @ value).transpose(1, 2).flatten(2)
            return attn.to_out[1](attn.to_out[0](output))

    with inject_cross_attention(unet, inserted, region):
        ours = run(unet, inputs)
    originals = {layer: layer.processor for layer in depths}
    for layer, depth in depths.items():
        layer.set_processor(Explicit(depth))
    explicit = run(unet, inputs)
    for layer, processor in originals.items():
        layer.set_processor(processor)
    assert torch.allclose(ours, explicit, atol=1e-5)
    assert not torch.allclose(ours, run(unet, inputs), atol=1e-2)


def test_full_injection_is_finite_however_sharp_the_attention(unet, inputs):
    sharp = (inputs[0], inputs[1], inputs[2] * 1e3)
    with inject_cross_attention(unet, torch.randn(2, 1, 32) * 1e3, torch.ones(2, 1, 32, 32)):
        assert run(unet, sharp).isfinite().all()


def test_processors_are_restored_even_after_an_exception(unet, inputs):
    before = processors(unet)
    for manager in (
        record_cross_attention(unet, 1),
        inject_cross_attention(unet, inputs[2][:, :1], torch.rand(2, 1, 32, 32)),
    ):
        with pytest.raises(ZeroDivisionError), manager:
            assert processors(unet) != before
            raise ZeroDivisionError
        assert processors(unet) == before


def test_depths_are_found_by_block_position_and_the_middle_block_is_left_alone(unet):
    layers = cross_attention_layers(unet)
    assert sorted(layers.values()) == [0, 0, 0, 1, 1, 1]  # one layer per down block, two per up block
    assert not set(layers) & set(unet.mid_block.modules())


def test_a_depth_without_layers_is_an_error_not_an_empty_record(unet):
    with pytest.raises(RuntimeError, match=r"depths \[0, 1\]"), record_cross_attention(unet, depth=2):
        pass


def test_a_network_without_cross_attention_is_refused():
    from diffusers import UNet2DModel

    plain = UNet2DModel(
        sample_size=8,
        block_out_channels=(8,),
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
        norm_num_groups=4,
    )
    with pytest.raises(RuntimeError, match="no cross-attention"):
        cross_attention_layers(plain)
