"""benchmarks/counting.py: samples, operations, turns and the lower bound of seconds."""

from functools import partial

import pytest
import torch
from counting import Method, Roofline, alternate, count_samples, measure_cost


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
