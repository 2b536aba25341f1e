"""What would go wrong on another system only."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Where a text's encoding stands among the positional arguments.
_POSITION = {"read_text": 0, "write_text": 1, "open": None, "loadtxt": None, "savetxt": None, "genfromtxt": None}
_NOT_FILES_OF_TEXT = {
    "webbrowser",
    "page",
    "Image",
    "rasterio",
    "archive",
    "tarfile",
    "zipfile",
    "self._laspy",
    "urllib.request",
    "_OPENER",
    "os",
    "Database",
}


def calls_without_encoding(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name not in _POSITION or any(keyword.arg == "encoding" for keyword in node.keywords):
            continue
        if isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) in _NOT_FILES_OF_TEXT:
            continue
        position = _POSITION[name]
        if position is not None and len(node.args) > position:
            continue
        modes = [each.value for argument in node.args for each in ast.walk(argument) if isinstance(each, ast.Constant)]
        if any(isinstance(mode, str) and "b" in mode for mode in modes):
            continue  # opened for bytes
        yield f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)}"


@pytest.mark.parametrize("folder", ["transpose", "benchmarks"])
def test_text_files_name_their_encoding(folder: str) -> None:
    """Without it Windows reads and writes its code page: names beyond ASCII in others' JSON become other names."""
    found = [each for path in sorted((ROOT / folder).rglob("*.py")) for each in calls_without_encoding(path)]
    assert not found, "\n".join(found)


def test_cores_are_counted_in_one_place() -> None:
    """`os.cpu_count` knows neither affinity nor a container's quota."""
    files = set((ROOT / "transpose").rglob("*.py")) - {ROOT / "transpose" / "parallel.py"}
    assert not [str(path) for path in files if "cpu_count" in path.read_text(encoding="utf-8")]
