"""Every atomic write of the package: a file is whole or absent."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def write_file(path: Path, content: bytes) -> None:
    """Write a file so that it is whole or absent, whoever else writes it and whenever the process dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.stem[:80]}-{secrets.token_hex(8)}.incomplete")
    try:
        # 0o666 and not mkstemp's 0o600: the umask decides who may read a shared store.
        with os.fdopen(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666), "wb") as file:
            file.write(content)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
