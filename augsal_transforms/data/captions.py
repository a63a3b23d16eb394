"""Captions: one as text, whatever a sample has in its place, and those of a data set by image."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from numbers import Number
from pathlib import Path
from typing import Any

from augsal_transforms.data.names import match_names, printable
from augsal_transforms.data.tables import read_json

_MISSING_TYPES = ("NAType", "NaTType")  # pandas'; named, because pandas is not imported here


def to_caption(value: Any, name: str = "prompt") -> str:
    """A caption as text.

    Args:
        value: A string, bytes in UTF-8, or a list, tuple or array of these, of which the first that is there is
            taken. ``None``, NaN of any type and pandas' ``NA`` are no caption.
        name: The name of the value in an error: the sample's key, or the file.

    Returns:
        The caption, "" where there is none. A lone surrogate, and a byte that is not UTF-8, become U+FFFD.

    Raises:
        TypeError: If it is anything else.
    """
    several = value.tolist() if type(value).__module__ == "numpy" and hasattr(value, "ndim") else value
    if isinstance(several, (list, tuple)):
        return next((text for item in several if (text := _to_text(item, name))), "")
    return _to_text(several, name)


def _to_text(value: Any, name: str) -> str:
    if is_missing(value):
        return ""
    if isinstance(value, (bytes, bytearray)):
        text = bytes(value).decode("utf-8", "replace")
    elif isinstance(value, str):
        text = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    else:
        raise TypeError(
            f"`{name}` must be a caption (str), a list of captions or None, got {type(value).__name__}: "
            f"{_short(value)}."
        )
    text = text.removeprefix("\ufeff")
    return text if text.strip() else ""


def is_missing(value: Any) -> bool:
    """Whether a value stands for no caption: ``None``, NaN, or pandas' ``NA`` and ``NaT``."""
    if value is None or type(value).__name__ in _MISSING_TYPES:
        return True
    return isinstance(value, Number) and bool(value != value)  # NaN alone differs from itself


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"


class Captions(Mapping[str, str]):
    """Captions of a data set's images by name; one of a wrong type costs its own image.

    Args:
        values: The captions as the file has them, by the image's name.
        path: The file that they come from.
        unmatched: Names in the file that are no image's.
    """

    def __init__(self, values: Mapping[str, Any], path: Path | None = None, unmatched: Collection[str] = ()) -> None:
        self.values_read, self.path, self.unmatched = dict(values), path, tuple(unmatched)

    def __getitem__(self, name: str) -> str:
        """An image's caption, "" where the file says that there is none.

        Raises:
            KeyError: If the file does not name the image.
            ValueError: If what it has is no caption; file and name are in the message.
        """
        try:
            return to_caption(self.values_read[name], f"caption of {name}")
        except TypeError as error:
            raise ValueError(f"{printable(self.path or 'captions')}: {error}") from error

    def __contains__(self, name: object) -> bool:
        return name in self.values_read

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_read)

    def __len__(self) -> int:
        return len(self.values_read)


def captions_file(folder: Path, split: str) -> Path | None:
    """The file with a folder's captions, if it has one; the places are those of ``read_captions``."""
    coco, karpathy = f"captions_{split}2014.json", "dataset_coco.json"
    below = folder / "annotations"
    places = (below / coco, folder / coco, folder / "captions.json", below / karpathy, folder / karpathy)
    return next((path for path in places if path.is_file()), None)


def read_captions(folder: Path, split: str, names: Collection[str]) -> Captions:
    """The first caption of each image that has one; empty where a folder has none.

    Reads ``annotations/captions_{split}2014.json`` or ``captions_{split}2014.json`` in COCO's format, or
    ``captions.json``, a plain table of name to caption, or ``dataset_coco.json`` in Karpathy's format.

    Args:
        folder: The data set's folder.
        split: ``"train"`` or ``"val"``.
        names: The images' names; in the file they may have endings and folders.

    Raises:
        ValueError: If the file has none of the formats.
    """
    path = captions_file(folder, split)
    if path is None:
        return Captions({})
    values = load_captions(path)
    matched = match_names(values, names)
    by_name: dict[str, Any] = {}
    for key, name in matched.items():
        by_name.setdefault(name, values[key])
    return Captions(by_name, path, [key for key in values if key not in matched])


def load_captions(path: Path) -> dict[str, Any]:
    """The first caption of each image that is not missing, as the file has it, by the name that the file uses.

    Raises:
        ValueError: If the file is neither COCO's, nor Karpathy's, nor a table of name to caption.
    """
    try:
        return _captions(read_json(path))
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{printable(path)} must be captions in COCO's or Karpathy's format or a table of file stem to caption; "
            f"reading it failed on {type(error).__name__}: {error}."
        ) from error


def _captions(table: dict[str, Any]) -> dict[str, Any]:
    if "annotations" in table:  # COCO's
        names = {entry["id"]: Path(entry["file_name"]).name for entry in table["images"]}
        pairs = [(names[entry["image_id"]], entry["caption"]) for entry in table["annotations"]]
    elif isinstance(table.get("images"), list):  # Karpathy's splits of COCO
        pairs = [(image["filename"], sentence["raw"]) for image in table["images"] for sentence in image["sentences"]]
    else:
        pairs = list(table.items())
    captions: dict[str, Any] = {}
    for name, caption in pairs:
        if captions.get(name) is None and not is_missing(caption):
            captions[name] = caption
    return captions
