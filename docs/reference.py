"""The site's reference: each command's own help, and the Python interface from its docstrings, as Markdown.

`mkdocs build` calls `on_pre_build`; `python docs/reference.py` writes the same pages, into docs/generated.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

OUT = Path(__file__).parent / "generated"
# What a program may rely on; each module's `__all__` says which names.
MODULES = ("transpose", "transpose.solvers", "transpose.geometry", "transpose.localization", "transpose.onnx")
_WIDTH = "100"


def on_pre_build(config: Any = None, **_: Any) -> None:
    """Writes both pages; a page that is as it was is left alone, so that `mkdocs serve` does not run in a circle."""
    OUT.mkdir(exist_ok=True)
    for name, text in (("commands.md", commands_page()), ("python.md", python_page())):
        path = OUT / name
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")


def commands_page() -> str:
    """Every command of `transpose --help`, with its flags."""
    from transpose.app.command_table import GROUPS

    parts = ["# Commands\n\nEach by its own help. `--debug` with any command shows the full story of an error."]
    for title, group in GROUPS.items():
        parts.append(f"## {title[0].upper()}{title[1:]}")
        for name in group:
            told = help_of(name)
            parts.append(f"### {name}\n\n```text\n{told}\n```")
            parts += [f"#### {name} {sub}\n\n```text\n{help_of(name, sub)}\n```" for sub in _kinds(told, name)]
    return "\n\n".join(parts) + "\n"


def help_of(*words: str) -> str:
    """What `transpose WORDS --help` prints."""
    from transpose.app.command_table import read

    printed, columns = io.StringIO(), os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = _WIDTH
    try:
        with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
            read([*words, "--help"])
    finally:
        if columns is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = columns
    return re.sub(r"\x1b\[[0-9;]*m", "", printed.getvalue()).strip()


def _kinds(told: str, name: str) -> list[str]:
    """Commands below a command, such as `build mesh`; a choice of values is none."""
    match = re.search(r"usage: transpose " + re.escape(name) + r"[^{]*\{([\w,-]+)\}", told)
    if match is None or "subcommands" not in told:
        return []
    return match[1].split(",")


def python_page() -> str:
    """The public names of `MODULES` with signatures and docstrings."""
    parts = ["# Python\n\nArrays in may be NumPy or torch; what comes back is of the same kind. Names end with shapes."]
    for name in MODULES:
        try:
            module = importlib.import_module(name)
        except ImportError as error:
            parts.append(f"## {name}\n\nNot installed where this page was made: {error}.")
            continue
        parts.append(f"## {name}\n\n{_told(module)}")
        parts += [f"### {name}.{each}\n\n{_described(getattr(module, each), each)}" for each in _public(module)]
    return "\n\n".join(parts) + "\n"


def _public(module: Any) -> list[str]:
    names = getattr(module, "__all__", [])
    return sorted(each for each in names if callable(getattr(module, each)))


def _described(thing: Any, name: str) -> str:
    return "\n\n".join([f"```python\n{_signature(thing, name)}\n```", _told(thing), *_methods(thing)])


def _methods(thing: Any) -> Iterator[str]:
    if not inspect.isclass(thing):
        return
    for name, member in vars(thing).items():
        known = member.__func__ if isinstance(member, classmethod | staticmethod) else member
        known = known.fget if isinstance(known, property) else known
        if not name.startswith("_") and inspect.isfunction(known) and known.__doc__:
            yield f"`{name}`: {' '.join((inspect.getdoc(known) or '').split(chr(10) * 2)[0].split())}"


def _signature(thing: Any, name: str) -> str:
    try:
        return f"{name}{inspect.signature(thing)}"
    except (TypeError, ValueError):
        return name


def _told(thing: Any) -> str:
    """A docstring: its first paragraph as text, the rest as it is written."""
    first, _, rest = (inspect.getdoc(thing) or "").partition("\n\n")
    return first + (f"\n\n```text\n{rest}\n```" if rest else "")


if __name__ == "__main__":
    on_pre_build()
