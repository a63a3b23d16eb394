import torch

from augsal_transforms.editor.region import (
    average_tokens,
    normalise,
    refine_region,
    select_region,
    soft_threshold,
)


def test_equation_8_by_hand():
    # S = (1, 0.5, 0, 0). <C_0, S> = 0.4 + 0.05 = 0.45; <C_1, S> = 0.1 + 0.3 = 0.40: word 0 wins.
    # M = C_0 × S = (0.4, 0.05, 0, 0), scaled to a maximum of 1: (1, 0.125, 0, 0).
    saliency = torch.tensor([[[1.0, 0.5], [0.0, 0.0]]]).double()
    attention = torch.tensor([[[0.4, 0.1], [0.9, 0.9]], [[0.1, 0.6], [0.0, 0.0]]]).double()
    region, index = select_region(attention[None], saliency[None])
    assert index.tolist() == [0]
    assert torch.allclose(region, torch.tensor([[[[1.0, 0.125], [0.0, 0.0]]]]).double())


def test_the_region_is_attention_times_saliency_not_attention_alone():
    attention = torch.ones(1, 1, 2, 2)
    saliency = torch.tensor([[[[1.0, 0.2], [0.4, 0.0]]]])
    assert torch.equal(select_region(attention, saliency)[0], saliency)


def test_no_overlap_gives_an_empty_region():
    region, _ = select_region(torch.tensor([[[[1.0, 0.0]]]]), torch.tensor([[[[0.0, 1.0]]]]))
    assert not region.any()
    assert not normalise(torch.zeros(1, 2, 2)).any()


def test_a_words_map_is_the_mean_of_its_tokens_and_each_image_has_its_own_words():
    # Tokens 0 … 3 attend with 0, 1, 2, 3. Words (1, 2) and (3): 1.5 and 3; words (2): 2, and nothing.
    attention = torch.arange(4.0).view(1, 4, 1, 1).expand(2, 4, 1, 2)
    words = average_tokens(attention, [[(1, 2), (3,)], [(2,)]])
    assert words[..., 0, 0].tolist() == [[1.5, 3.0], [2.0, 0.0]]
    region, index = select_region(words, torch.tensor([[[[1.0, 0.5]]], [[[0.25, 1.0]]]]))
    assert index.tolist() == [1, 0]
    assert region[:, 0, 0].tolist() == [[1.0, 0.5], [0.25, 1.0]]
    assert average_tokens(attention, [[], []]).shape == (2, 1, 1, 2)


def test_the_ramp_has_its_half_at_the_threshold_and_fits_in_eight_bits():
    refined = torch.linspace(0, 1, 1001)[None, None]
    mask = soft_threshold(refined, 1 / 3, 0.2)
    assert torch.equal((mask * 255).round() / 255, mask)
    assert mask[refined < 1 / 3 - 0.1].eq(0).all()
    assert mask[refined > 1 / 3 + 0.1].eq(1).all()
    assert abs(mask[0, 0, 333].item() - 0.5) < 0.01
    assert mask[mask > 0].min() * 255 >= 1


def test_a_softness_of_zero_is_a_hard_mask():
    mask = soft_threshold(torch.tensor([0.2, 0.3332, 0.3335, 0.9]), 1 / 3, 0.0)
    assert mask.tolist() == [0, 0, 1, 1]


def test_refined_edges_follow_the_image():
    # The image's edge cuts a cell of the region in two: the upsampled region is a slope across it.
    image = torch.zeros(3, 64, 64)
    image[:, :, 20:] = 1
    region = torch.zeros(1, 8, 8)
    region[..., 2] = 0.5
    region[..., 3:] = 1
    plain = torch.nn.functional.interpolate(region[None], (64, 64), mode="bilinear")[0]
    refined = refine_region(region, image)
    step = (refined[..., 20] - refined[..., 19]).mean()
    assert step > 4 * (plain[..., 20] - plain[..., 19]).mean()
    assert refined.min() >= 0
    assert refined.max() <= 1


def test_tiny_images_are_not_refined_but_upsampled():
    assert refine_region(torch.ones(1, 1, 1), torch.rand(3, 1, 5)).shape == (1, 1, 5)
