import pytest
import torch

from augsal_transforms.readouts.gaze_network import Encoder, GazeNetwork, SameConvolution


def test_padding_is_tensorflows():
    # size 4, stride 2, kernel 3: (2 − 1) · 2 + 3 − 4 = 1 pixel in all, at the end. Windows: [1, 2, 3], [3, 4, 0].
    convolution = SameConvolution(1, 1, 3, 2, bias=False).requires_grad_(False)
    convolution.weight.zero_()
    convolution.weight[0, 0, 1] = torch.tensor([1.0, 10.0, 100.0])
    rows = torch.zeros(1, 1, 4, 4)
    rows[0, 0, 1] = torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert convolution(rows)[0, 0, 0].tolist() == [321.0, 43.0]
    # size 5: (3 − 1) · 2 + 3 − 5 = 2 pixels, one at each end.
    assert convolution(torch.zeros(1, 1, 5, 5)).shape == (1, 1, 3, 3)


def test_the_encoder_has_features_at_strides_4_8_16_and_32():
    encoder = Encoder().eval()
    with torch.no_grad():
        features = encoder(torch.zeros(2, 3, 64, 96))
    assert [tuple(f.shape[1:]) for f in features] == [(24, 16, 24), (40, 8, 12), (112, 4, 6), (320, 2, 3)]


def test_published_weights_load_without_what_the_encoder_does_not_use():
    weights, encoder = {**Encoder().state_dict(), "_fc.weight": torch.zeros(1000, 1280)}, Encoder()
    encoder.load_published(weights)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in encoder.state_dict().items())
    weights["_bn0.bias"] = torch.zeros(3)
    with pytest.raises(ValueError, match=r"_bn0\.bias must be \(32,\), got \(3,\); 1 of"):
        encoder.load_published(weights)
    with pytest.raises(ValueError, match="got none"):
        encoder.load_published({})


def test_the_centre_bias_is_a_gaussian_in_half_sides():
    network = GazeNetwork().eval().requires_grad_(False)
    network.readout[2].weight.zero_()
    network.readout[2].bias.zero_()
    network.log_width.copy_(torch.tensor([0.5, 2.0]).log())
    log_density = network(torch.rand(1, 3, 64, 96))
    assert log_density.shape == (1, 1, 16, 24)
    # At the upper left corner: −((−1 / 0.5)² + (−1 / 2)²) / 2 = −2.125.
    assert log_density[0, 0, 0, 0].item() == pytest.approx(-2.125)
    assert torch.equal(log_density, log_density.flip(-1))


def test_the_weights_of_the_network_are_six_megabytes_in_half_precision():
    assert sum(tensor.numel() for tensor in GazeNetwork().state_dict().values()) * 2 == pytest.approx(6.2e6, rel=0.02)
