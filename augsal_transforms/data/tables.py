"""Text, JSON and CSV files of strangers: read in full or refused with the file's name."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from augsal_transforms.data.names import printable

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # a spreadsheet runs a cell that begins with one of these


def read_text(path: Path) -> str:
    """A text file in UTF-8, with or without a byte order mark, or in UTF-16 with one.

    Raises:
        ValueError: If it has another encoding. None is guessed: a wrong guess would give wrong captions.
    """
    content = path.read_bytes()
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{printable(path)} must be UTF-8 text, but its byte {error.start} is not; save it as UTF-8 (editors and "
            "spreadsheets on Windows write a code page such as cp1252 unless they are asked for UTF-8)."
        ) from error


def read_json(path: Path, object_hook: Callable[[dict[str, Any]], Any] | None = None) -> Any:
    """The content of a JSON file.

    Raises:
        ValueError: If the file is not UTF-8, not JSON, or nested too deeply.
    """
    text = read_text(path)
    try:
        return json.loads(text, object_hook=object_hook)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{printable(path)} is not readable JSON: {error}.") from error


def csv_safe(cell: Any) -> Any:
    """A cell that a spreadsheet shows as text: an apostrophe is put before what it would run as a formula.

    Numbers are returned as they are. ``csv_plain`` gives the text back.
    """
    return f"'{cell}" if isinstance(cell, str) and cell.startswith((*_FORMULA, "'")) else cell


def csv_plain(cell: str) -> str:
    """The text that ``csv_safe`` was given."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith((*_FORMULA, "'")) else cell
