"""The edits that `--kinds` and `--kind` name: kinds that are known, or that a module of the user's defines."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from augsal_transforms.cli.errors import user_code

if TYPE_CHECKING:
    from augsal_transforms.editor.edits import Edit

# "contrast", "contrast=1.2:1.8", "my_edits:blur", "my_edits:blur=0.5:1.0"
_KIND = re.compile(r"(?:([A-Za-z_][\w.]*):)?([A-Za-z_]\w*)(?:=(.*))?")


def parse_edits(
    text: str,
    option: str = "--kinds",
    values: Mapping[str, str | None] | None = None,
    value_option: str = "--{kind}",
    usual: Sequence[Edit] = (),
) -> list[Edit]:
    """The edits that an option names, each with its α or range of α.

    Args:
        text: Kinds separated by commas, each ``KIND``, ``KIND=VALUE`` or ``MODULE:KIND=VALUE``. The value is α, a
            low:high range, or what else the kind's ``from_text`` takes. A module is imported first, so that it
            registers its kinds.
        option: The option's name, for messages.
        values: Values from options of their own, by kind; ``None`` where the option was not given.
        value_option: The name of these options, for messages.
        usual: The edits that kinds without a value stand for; another kind's is its default.

    Returns:
        One edit for each kind, in the order of ``text``.

    Raises:
        ValueError: For an unknown kind, a kind that is named twice, or a value that the kind does not take.
    """
    from augsal_transforms.editor.edits import KINDS

    named: dict[str, str | None] = {}
    for module, kind, value in _split(text):
        if module:
            _import(module, option)
        if kind not in KINDS:
            advice = (
                f"The module {module!r} defines no kind of this name."
                if module
                else "A kind of your own is named with its module, as in my_module:my_kind."
            )
            raise ValueError(f"{option} must be among {', '.join(KINDS)}, got {kind!r}. {advice}")
        if kind in named:
            raise ValueError(f"{option} names {kind!r} twice. Give one α or one low:high range for each kind.")
        named[kind] = value
    if not named:
        raise ValueError(f"{option} must name an edit, one of {', '.join(KINDS)}, got {text!r}.")
    edits = []
    for kind, value in named.items():
        given, source = (values or {}).get(kind), value_option.format(kind=kind)
        if value is not None and given is not None:
            raise ValueError(f"{option} {kind}={value} and {source} {given} name two values. Give one of them.")
        default = [edit for edit in usual if edit.kind == kind and value is None and given is None]
        made = default or [_make(KINDS[kind], value if given is None else given, source if given else option)]
        edits.append(made[0])
    return edits


def _split(text: str) -> list[tuple[str, str, str | None]]:
    """(Module or "", kind, value) of each kind; a part that names no kind belongs to the value before it."""
    from augsal_transforms.editor.edits import KINDS

    found: list[tuple[str, str, str | None]] = []
    for part in (part.strip() for part in text.split(",")):
        match = _KIND.fullmatch(part)
        begins = match and (match[1] or match[3] is not None or match[2] in KINDS)
        if found and found[-1][2] is not None and not begins:
            found[-1] = (*found[-1][:2], f"{found[-1][2]},{part}")  # a colour of "color=red,blue:0.3:0.8"
        elif match:
            found.append((match[1] or "", match[2], match[3]))
        elif part:
            found.append(("", part, None))
    return found


def _import(module: str, option: str) -> None:
    sys.path.insert(0, "")  # as `python -m` has it: modules are found in the current folder
    try:
        with user_code():
            import_module(module)
    except Exception as error:
        cause = error.__cause__
        if isinstance(cause, ModuleNotFoundError) and cause.name and f"{module}.".startswith(f"{cause.name}."):
            raise ValueError(f"{option}: there is no module {module!r}. Install it, or run in its folder.") from error
        raise


def _make(kind: type[Edit], value: str | None, option: str) -> Edit:
    try:
        return kind.from_text(value or "")
    except ValueError as error:
        raise ValueError(f"{option}: {error}") from error
