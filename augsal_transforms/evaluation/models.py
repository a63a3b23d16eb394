"""Where predictions come from: a folder of maps, the predictor, or any function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor

from augsal_transforms.data.images import read_image, to_saliency_map
from augsal_transforms.data.layouts import list_images
from augsal_transforms.readouts.predictor import SaliencyPredictor

Model = Callable[[Tensor], Tensor]
Predict = Callable[[str, Tensor], Tensor]


def load_model(name: str, device: str = "cpu") -> Model:
    """A saliency model as a function of an image (3, H, W) in [0, 1] that gives a map (1, h, w).

    Args:
        name: ``"bundled"``, a folder that ``augsal train-readouts`` wrote, or ``module:function``, a function
            (or an object that can be called) of the same form.
        device: Where the predictor runs, and where a function's images are.

    Raises:
        ValueError: If there is no such module, or it has no such function.
    """
    if ":" in name and not Path(name).is_dir():
        function = find_function(name)
        return lambda image: function(image.to(device))
    predictor = SaliencyPredictor.from_pretrained(name, device=device)
    return lambda image: predictor.predict([image])[0]


def find_function(name: str) -> Model:
    """The function of ``module:function``; ValueError if there is none."""
    module, _, attribute = name.partition(":")
    try:
        function = getattr(import_module(module), attribute, None)
    except ModuleNotFoundError as error:
        if error.name != module.split(".")[0]:
            raise  # the module is there; what it imports is not
        raise ValueError(
            f"`{name}`: there is no module {module!r} here; is it installed, or in this folder?"
        ) from error
    if not callable(function):
        raise ValueError(f"`{name}`: the module {module!r} has no function {attribute!r}.")
    model: Model = function
    return model


def run_model(model: Model) -> Predict:
    """Predictions of a model, with its output checked."""

    @torch.no_grad()
    def predict(name: str, image: Tensor) -> Tensor:
        prediction = model(image.float() / 255 if image.dtype == torch.uint8 else image.float())
        if not isinstance(prediction, Tensor) or prediction.ndim != 3 or prediction.shape[0] != 1:
            shape = tuple(prediction.shape) if isinstance(prediction, Tensor) else type(prediction).__name__
            raise ValueError(f"The model must give a map (1, h, w) of an image (3, H, W), of {name} it gave {shape}.")
        return prediction

    return predict


def read_predictions(folder: Path, names: Sequence[str]) -> Predict:
    """Predictions stored as image files, ``NAME.png`` or another format, at any size.

    Raises:
        ValueError: If an image has none, or two.
    """
    paths: dict[str, Path] = {}
    for path in list_images(folder):
        if path.stem in paths:
            raise ValueError(f"{path} and {paths[path.stem]} are both predictions of {path.stem!r}; keep one of them.")
        paths[path.stem] = path
    missing = [name for name in names if name not in paths]
    if missing:
        raise ValueError(
            f"{folder} has no prediction of {len(missing)} of {len(names)} images, {missing[0]} the first of them. "
            "Name each file as its image, whatever its ending."
        )

    def predict(name: str, image: Tensor) -> Tensor:
        stored = read_image(paths[name])
        prediction: Tensor = to_saliency_map(stored, (stored.height, stored.width)).as_subclass(Tensor)
        return prediction

    return predict
