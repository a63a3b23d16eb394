import pytest
import torch


@pytest.fixture(autouse=True)
def seeded():
    """Random inputs of these tests are the same in every run and in any order."""
    torch.manual_seed(0)
