"""A store with edits of a small data set's images."""

from helpers.records import edited, key_of
from torchvision.transforms.v2.functional import pil_to_tensor

from augsal_transforms import Brightness, Color, Contrast

EDITS = (Contrast(1.2), Contrast(1.5), Contrast(1.8), Brightness(0.15), Color("red", 0.4))


def store_edits(store, dataset, name, edits=EDITS, prompt="a red dog on the street", source=None, about=None):
    """Put edits of an image of a data set into a store; the word of their region is "dog"."""
    image = pil_to_tensor(dataset[dataset.names.index(name)]["image"])
    for seed, edit in enumerate(edits):  # each with pixels of its own
        stem = name if source is None else source
        store.put(key_of(image, edit, prompt=prompt), image, edited(image, edit, seed=seed), source=stem, about=about)
