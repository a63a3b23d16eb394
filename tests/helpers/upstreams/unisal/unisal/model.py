import torch
import torch.nn.functional as F
from torch import nn

from .config import Configured


class SourceNorm(nn.Module):
    """A batch norm for each source."""

    def __init__(self, channels, sources):
        super().__init__()
        for source in sources:
            setattr(self, f"bn_{source.lower()}", nn.BatchNorm2d(channels))
        self.source = None

    def forward(self, x):
        return getattr(self, f"bn_{self.source.lower()}")(x)


class UNISAL(nn.Module, Configured):
    def __init__(self, width=8, sources=("DHF1K", "SALICON"), cnn_cfg=None):
        super().__init__()
        self.width, self.sources, self.cnn_cfg = width, sources, cnn_cfg
        self.cnn = nn.Sequential(nn.Conv2d(3, width, 3, 2, 1), nn.BatchNorm2d(width), nn.ReLU())
        self.skip = nn.Sequential(nn.Conv2d(width, width, 1), nn.Dropout2d(0.6))
        self.norm = SourceNorm(width, sources)
        self.rnn = nn.Conv2d(2 * width, width, 1)
        self.post_rnn = nn.Conv2d(width, width, 1)
        for source in sources:
            setattr(self, f"adaptation_{source.lower()}", nn.Conv2d(width, 1, 1))

    def forward(self, x, target_size=None, source="DHF1K", static=None):
        self.norm.source = source  # stays on the module
        predictions, hidden = [], None
        for image in x.unbind(1):
            features = self.cnn(image)
            features = F.relu(self.norm(features + self.skip(features)))
            if x.shape[1] > 1:
                hidden = self.rnn(torch.cat([features, torch.zeros_like(features) if hidden is None else hidden], 1))
                features = features + self.post_rnn(hidden)
            logits = getattr(self, f"adaptation_{source.lower()}")(features)
            logits = F.interpolate(logits, target_size or x.shape[-2:], mode="bilinear", align_corners=False)
            predictions.append(logits.flatten(1).log_softmax(1).view_as(logits))
        return torch.stack(predictions, 1)
