import torch
from torch import nn

from .features.efficientnet_pytorch import EfficientNet


class FeatureExtractor(nn.Module):
    """What a layer of the backbone put out, caught by a hook."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3, 1, 1), nn.BatchNorm2d(4), nn.ReLU())
        self.outputs = {}
        self.features[1].register_forward_hook(self.save)

    def save(self, module, inputs, output):
        self.outputs["1"] = output.clone()

    def forward(self, x):
        self.outputs.clear()
        self.features(x / 255)
        return self.outputs["1"]


class Finalizer(nn.Module):
    def __init__(self):
        super().__init__()
        self.gauss = nn.Module()
        self.gauss.sigma = nn.Parameter(torch.tensor(8.0))
        self.center_bias_weight = nn.Parameter(torch.ones(1))

    def forward(self, readout, centerbias):
        logits = readout[:, 0] * self.gauss.sigma / 8 + self.center_bias_weight * centerbias
        return logits.flatten(1).log_softmax(1).view_as(logits)


class DeepGazeII(nn.Module):
    pass


class DeepGazeIII(nn.Module):
    """One of its kind: ``train`` returns nothing and never sets ``training``."""

    def __init__(self, features):
        super().__init__()
        self.features = features.requires_grad_(False).eval()
        self.saliency_network = nn.Conv2d(4, 1, 1)
        self.finalizer = Finalizer()

    def forward(self, x, centerbias, x_hist=None, y_hist=None, durations=None):
        return self.finalizer(self.saliency_network(self.features(x)), centerbias)

    def train(self, mode=True):
        self.features.eval()
        self.saliency_network.train(mode)
        self.finalizer.train(mode)


class DeepGazeIIIMixture(nn.Module):
    def __init__(self, features, components=2):
        super().__init__()
        self.features = features.requires_grad_(False).eval()
        self.saliency_networks = nn.ModuleList(nn.Conv2d(4, 1, 1) for _ in range(components))
        self.finalizers = nn.ModuleList(Finalizer() for _ in range(components))

    def forward(self, x, centerbias, x_hist=None, y_hist=None, durations=None):
        x = self.features(x)
        parts = zip(self.saliency_networks, self.finalizers, strict=True)
        densities = torch.stack([finalizer(network(x), centerbias) for network, finalizer in parts], 1)
        return densities.logsumexp(1, keepdim=True) - torch.tensor(float(len(self.finalizers))).log()


class DeepGazeIIE(nn.Module):
    """A mixture of mixtures, without a ``finalizer`` and without a ``train`` of its own."""

    def __init__(self, pretrained=True):
        super().__init__()
        EfficientNet.from_pretrained("efficientnet-b5")  # whatever ``pretrained`` says
        self.models = nn.ModuleList(DeepGazeIIIMixture(FeatureExtractor()) for _ in range(2))

    def forward(self, *args, **kwargs):
        densities = torch.cat([model.forward(*args, **kwargs) for model in self.models], 1)
        return densities.logsumexp(1, keepdim=True) - torch.tensor(float(len(self.models))).log()
