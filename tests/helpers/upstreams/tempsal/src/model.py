import torch
from torch import nn


class PNASModel(nn.Module):
    def __init__(self, load_weight=1, maps=1):
        super(PNASModel, self).__init__()  # noqa: UP008 - by the module's name, as there
        self.pnas = nn.Sequential(nn.Conv2d(3, 4, 3, 1, 1), nn.BatchNorm2d(4), nn.ReLU())
        if load_weight:
            self.pnas.load_state_dict(torch.load(self.path))  # there is no path, as there
        self.head = nn.Sequential(nn.Conv2d(4, maps, 3, 1, 1), nn.Sigmoid())

    def forward(self, images):
        return self.head(self.pnas(images)).squeeze(1)


class PNASVolModel(PNASModel):
    def __init__(self):
        super(PNASVolModel, self).__init__(load_weight=0, maps=5)  # noqa: UP008

    def forward(self, images):
        features = self.pnas(images)
        maps = self.head(features)
        return maps / maps.max(), [features]  # over the whole batch


class PNASBoostedModelMultiLevel(nn.Module):
    def __init__(self, device, model_path, model_vol_path="", time_slices=5):
        super(PNASBoostedModelMultiLevel, self).__init__()  # noqa: UP008
        self.deconv_mix = nn.Sequential(nn.Conv2d(4 + 6, 8, 3, 1, 1), nn.ReLU(), nn.Conv2d(8, 1, 3, 1, 1), nn.Sigmoid())
        state = torch.load(model_path)
        self.load_state_dict({name: value for name, value in state.items() if not name.startswith("pnas_")})
        for name, part in (("pnas_vol", PNASVolModel()), ("pnas_sal", PNASModel(load_weight=0))):
            inner = nn.DataParallel(part).cuda()
            prefix = f"{name}.module."
            inner.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
            setattr(self, name, nn.DataParallel(inner).cuda().requires_grad_(False))

    def forward(self, images):
        sal = self.pnas_sal(images).unsqueeze(1)
        vol, (features,) = self.pnas_vol(images)
        return self.deconv_mix(torch.cat([features, sal, vol], 1)).squeeze(1), vol
