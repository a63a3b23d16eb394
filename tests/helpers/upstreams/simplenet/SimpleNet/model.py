import torch
from torch import nn


class PNASModel(nn.Module):
    def __init__(self, num_channels=3, train_enc=False, load_weight=1):
        super(PNASModel, self).__init__()  # noqa: UP008 - by the module's name, as there
        self.pnas = nn.Conv2d(3, 4, 3, 1, 1).requires_grad_(train_enc)
        if load_weight:
            self.pnas.load_state_dict(torch.load("../PNAS/PNASNet-5_Large.pth"))
        self.deconv = nn.Sequential(nn.Conv2d(4, 1, 3, 1, 1), nn.Sigmoid())

    def forward(self, images):
        assert images.shape[1:] == (3, 256, 256)
        return self.deconv(self.pnas(images)).squeeze(1)


class ResNetModel(nn.Module):
    def __init__(self, load_weight=1):
        super(ResNetModel, self).__init__()  # noqa: UP008
        self.encoder = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())
        self.decoder = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(8, 1, 3, 1, 1), nn.Sigmoid())
        self.unused = nn.Linear(4, 4)  # its gradients stay None

    def forward(self, images):
        assert images.shape[1:] == (3, 64, 64)
        return self.decoder(self.encoder(images)).squeeze(1)
