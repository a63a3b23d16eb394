import random

import numpy as np
import torch
from PIL import Image


class ImageDataset(torch.utils.data.Dataset):
    """Keeps the dict it made and hands it out."""

    def __init__(self, stimuli, fixations, centerbias_model=None, transform=None, average="fixation"):
        self.stimuli, self.fixations, self.centerbias_model = stimuli, fixations, centerbias_model
        self.transform, self.average, self.cached, self._cache = transform, average, True, {}

    def get_shapes(self):
        return list(self.stimuli.sizes)

    def __len__(self):
        return len(self.stimuli.filenames)

    def __getitem__(self, key):
        if key not in self._cache:
            image = np.array(Image.open(self.stimuli.filenames[key]).convert("RGB"))
            chosen = self.fixations.n == key
            self._cache[key] = {
                "image": image.astype(np.float32).transpose(2, 0, 1),
                "x": self.fixations.x_int[chosen],
                "y": self.fixations.y_int[chosen],
                "centerbias": self.centerbias_model.log_density(image).astype(np.float32),
                "weight": 1.0,
            }
        data = self._cache[key]
        return self.transform(dict(data)) if self.transform else data


class FixationMaskTransform:
    def __init__(self, sparse=True):
        self.sparse = sparse

    def __call__(self, item):
        mask = torch.zeros(item["image"].shape[1:], dtype=torch.int64)
        mask[item.pop("y"), item.pop("x")] = 1
        item["fixation_mask"] = mask.to_sparse() if self.sparse else mask
        return item


class ImageDatasetSampler(torch.utils.data.Sampler):
    """Batches of one size each."""

    def __init__(self, data_source, batch_size=1):
        shapes = data_source.get_shapes()
        self.batches = []
        for shape in sorted(set(shapes)):
            indices = [n for n, other in enumerate(shapes) if other == shape]
            random.shuffle(indices)
            self.batches += [indices[n : n + batch_size] for n in range(0, len(indices), batch_size)]

    def __iter__(self):
        return iter(self.batches[n] for n in torch.randperm(len(self.batches)))

    def __len__(self):
        return len(self.batches)
