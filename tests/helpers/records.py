"""Edits made by hand, in no time, for what is about storing and not about editing."""

import torch

from augsal_transforms import Brightness, Color, Contrast, EditedImage
from augsal_transforms.photometry import PROPERTIES
from augsal_transforms.store.keys import EditKey

EDITOR = {"model": "a", "calibration": "b", "dtype": "float32", "config": {"steps": 1}}
EDITS = (Contrast(1.5), Brightness(0.15), Brightness(-0.15), Color("red", 0.4))


def picture(seed=0, size=(24, 32)):
    return torch.randint(256, (3, *size), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def edited(original, edit, place=(3, 5, 9, 12), seed=0):
    """An edit of a rectangle (top, left, height, width) by noise, under a soft mask in steps of 1/255."""
    top, left, height, width = place
    generator = torch.Generator().manual_seed(seed + 100)
    mask = torch.zeros(1, *original.shape[-2:])
    ramp = torch.randint(0, 256, (height, width), generator=generator) / 255
    ramp[0, 0] = ramp[-1, -1] = 1
    mask[0, top : top + height, left : left + width] = ramp
    noise = torch.randint(256, original.shape, generator=generator, dtype=torch.uint8)
    image = torch.where(mask > 0, noise if original.dtype == torch.uint8 else noise / 255, original)
    properties = dict.fromkeys(PROPERTIES, 0.25)
    return EditedImage(
        image=image,
        edit_mask=mask,
        region=torch.rand(1, 4, 4, generator=generator),
        kind=edit.kind,
        color=edit.color_name,
        word="dog",
        region_source="word",
        alpha=edit.alpha_value,
        strength=0.8125,
        bound_by="brightness",
        properties_before=properties,
        properties_after=properties,
        seed=seed,
    )


def key_of(original, edit, seed=0, prompt="a dog"):
    return EditKey.of(original, torch.ones(1, *original.shape[-2:]), prompt, edit, seed=seed, editor=EDITOR)


def filled(store, count=2, edits=EDITS, stem="photo-{}", draw=picture):
    """Put every edit of ``count`` pictures into a store."""
    for n in range(count):
        original = draw(n)
        for edit in edits:
            store.put(key_of(original, edit), original, edited(original, edit, seed=0), source=stem.format(n))
    return store
