"""editor/forwards.py: modules do something else for a while, and then what they did before."""

import pytest
import torch
from torch import nn

from augsal_transforms.diffusion.forwards import replaced_forwards


def test_blocks_nest_and_leave_what_they_found():
    layer, one = nn.Identity(), torch.ones(1)
    with replaced_forwards({layer: lambda x: x + 1}):
        with pytest.raises(ZeroDivisionError), replaced_forwards({layer: lambda x: x + 10}):
            assert layer(one) == 11
            raise ZeroDivisionError
        assert layer(one) == 2
    assert layer(one) == 1
    assert "forward" not in vars(layer)


def test_a_forward_that_a_module_was_given_before_is_given_back():
    layer, own = nn.Identity(), lambda x: 5 * x  # as libraries do that move weights about
    layer.forward = own
    with replaced_forwards({layer: lambda x: x}):
        pass
    assert layer.forward is own
