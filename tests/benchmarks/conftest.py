import pytest
import torch
from safetensors.torch import save_file
from table2.encoders import ENCODERS


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """A file of random weights of EfficientNet-Lite0's encoder."""
    path = tmp_path_factory.mktemp("encoder") / "encoder.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_file(ENCODERS["efficientnet-lite0"]().state_dict(), path)
    return path
