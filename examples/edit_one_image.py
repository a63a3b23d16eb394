"""Edit one image: change contrast, brightness and colour of the region that caption and saliency map select.

    python examples/edit_one_image.py                                        # a procedural scene
    python examples/edit_one_image.py photo.jpg map.png "a dog on a beach"   # your own

Writes one picture: the image, the edit mask over it, and three edits, with the caption below.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import PIL.Image
import PIL.ImageDraw
from torch import Tensor
from torchvision.transforms.v2.functional import to_pil_image

from augsal_transforms import Brightness, Color, Contrast, EditedImage, SaliencyEditor
from augsal_transforms.data.images import read_image, to_rgb_image, to_saliency_map
from augsal_transforms.lettering import draw_caption, line_height
from augsal_transforms.scenes.scenes import SceneDataset


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", nargs="?", type=Path, help="image file; a procedural scene if not given")
    parser.add_argument("saliency_map", nargs="?", type=Path, help="file of its saliency map")
    parser.add_argument("prompt", nargs="?", default="", help="caption of the image")
    parser.add_argument("--editor", default="bundled", help="bundled, sd-v1-5, a folder or a hub id")
    parser.add_argument("--out", type=Path, default=Path("edit_one_image.png"), help="file for the picture")
    parser.add_argument("--smoke", action="store_true", help="has no effect: a normal run takes seconds")
    options = parser.parse_args()
    if (options.image is None) != (options.saliency_map is None):
        parser.error("pass both: image SALIENCY_MAP [PROMPT]")

    if options.image is None:
        sample = SceneDataset(1, seed=99)[0]
        image, saliency_map, prompt = sample["image"], sample["saliency_map"], sample["prompt"]
    else:
        image = to_rgb_image(read_image(options.image)).as_subclass(Tensor)
        size = (image.shape[-2], image.shape[-1])
        saliency_map = to_saliency_map(read_image(options.saliency_map), size).as_subclass(Tensor)
        prompt = options.prompt

    editor = SaliencyEditor.from_pretrained(options.editor)
    edits = [Contrast(1.5), Brightness(0.15), Color("red", 0.6)]
    results = editor.edit([image], [saliency_map], [prompt], [edits])
    for result in results:
        where = f"the region of {result.word!r}" if result.word else "the saliency map's region"
        bound = f" (bound by {result.bound_by})" if result.bound_by else ""
        kind = f"{result.kind} {result.color}".strip()
        print(f"{kind:10s} α = {result.alpha:g} in {where}, strength {result.strength:.2f}{bound}")
    draw(image, prompt, results).save(options.out)
    print(options.out)


def draw(image: Tensor, prompt: str, results: list[EditedImage], height: int = 192, gap: int = 6) -> PIL.Image.Image:
    """The image, its edit mask and its edits beside each other, with titles above and the caption below."""
    dimmed = (image * (0.25 + 0.75 * results[0].edit_mask)).to(image.dtype)
    titles = [f"{f'{result.kind} {result.color}'.strip()}, alpha {result.alpha:g}" for result in results]
    width = max(1, round(height * image.shape[-1] / image.shape[-2]))
    line = line_height(12)
    size = (5 * (width + gap) + gap, height + 3 * line + gap)
    picture = PIL.Image.new("RGB", size, "white")
    pen = PIL.ImageDraw.Draw(picture)
    panels = [image, dimmed, *(result.image for result in results)]
    for n, (title, panel) in enumerate(zip(["image", "edit mask", *titles], panels, strict=True)):
        left = gap + n * (width + gap)
        draw_caption(pen, title, (left, 0, width), lines=1)
        picture.paste(to_pil_image(panel).resize((width, height)), (left, line))
    draw_caption(pen, prompt, (gap, line + height, size[0] - 2 * gap), marked=results[0].word)
    return picture


if __name__ == "__main__":
    main()
