"""Draw the picture of README: edits of rendered scenes by the bundled editor.

python docs/draw_edits.py

Each row is a scene: the image, its saliency map, the region with the rest of the image dimmed, and three edits. Below
it stands the caption, with the word whose region is edited marked.
"""

from __future__ import annotations

from pathlib import Path

import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
from torch import Tensor
from torchvision.transforms.v2.functional import to_pil_image

from augsal_transforms import Brightness, Color, Contrast, EditedImage, SaliencyEditor
from augsal_transforms.lettering import INK, draw_caption
from augsal_transforms.scenes.scenes import SceneDataset

OUT = Path(__file__).parent / "images" / "edits.png"
SERIES, SCENES = 99, (8, 12, 6)  # chosen for show, from a series that the editor was not trained on
EDITS = (Contrast(1.8), Brightness(0.25), Color("red", 0.8))
COLUMNS = ("image", "saliency map", "region", "contrast, alpha 1.8", "brightness, alpha 0.25", "red, alpha 0.8")
SIDE, GAP, LINE = 128, 6, 20


def main() -> None:
    """Edit the scenes and draw the picture."""
    scenes = SceneDataset(max(SCENES) + 1, seed=SERIES)
    samples = [scenes[number] for number in SCENES]
    editor = SaliencyEditor.from_pretrained("bundled")
    images, maps, prompts = ([sample[key] for sample in samples] for key in ("image", "saliency_map", "prompt"))
    results = editor.edit(images, maps, prompts, [list(EDITS)] * len(samples), seed=0)

    font = PIL.ImageFont.load_default(12)
    row = SIDE + LINE + GAP
    picture = PIL.Image.new("RGB", (len(COLUMNS) * (SIDE + GAP) - GAP, LINE + len(samples) * row), "white")
    draw = PIL.ImageDraw.Draw(picture)
    for column, title in enumerate(COLUMNS):
        draw.text((column * (SIDE + GAP) + SIDE / 2, LINE / 2), title, INK, font, anchor="mm")
    for number, sample in enumerate(samples):
        of_scene = results[number * len(EDITS) : (number + 1) * len(EDITS)]
        top = LINE + number * row
        for column, panel in enumerate(draw_panels(sample["image"], sample["saliency_map"], of_scene)):
            picture.paste(panel, (column * (SIDE + GAP), top))
        box = (2, top + SIDE + 1, picture.width - 4)
        draw_caption(draw, sample["prompt"], box, marked=of_scene[0].word, lines=1)
    OUT.parent.mkdir(exist_ok=True)
    picture.save(OUT, optimize=True)
    print(f"{OUT}, {OUT.stat().st_size / 1000:.0f} kB")


def draw_panels(image: Tensor, saliency_map: Tensor, results: list[EditedImage]) -> list[PIL.Image.Image]:
    """The panels of a row: image, saliency map, region, edits."""
    region = image * (0.2 + 0.8 * results[0].edit_mask)
    pictures = [image, saliency_map, region.to(image.dtype), *(result.image for result in results)]
    return [to_pil_image(picture).convert("RGB").resize((SIDE, SIDE)) for picture in pictures]


if __name__ == "__main__":
    main()
