"""What no module of the package may call: code of a file run, a shell, a download without TLS."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "transpose"
FORBIDDEN = re.compile(
    r"eval|exec|compile|__import__|os\.(system|popen)|yaml\.load|marshal\.loads?|(pickle|dill|joblib)\.(loads?|Unpickler)"
    r"|torch\.hub\.load|shelve\.open|tarfile\.open|tempfile\.mktemp|np\.(load|fromregex|genfromtxt)|requests\.get"
    r"|ssl\._create_unverified_context|urllib\.request\.(urlopen|urlretrieve)"
)
# Where a call is allowed, and what it must say.
WITH = {
    "torch.load": ("weights_only", True, ("untrusted/tensors.py", "models/xfeat.py")),
    "extractall": (None, None, ("scenes/setup/archives.py",)),
    "ElementTree.fromstring": (None, None, ("worlds/mesh_offsets.py", "worlds/raster_sources.py")),
}


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


MODULES = sorted(PACKAGE.rglob("*.py"))


def where(path: Path, node: ast.Call) -> str:
    return f"{path.relative_to(PACKAGE).as_posix()}:{node.lineno}: {ast.unparse(node)}"


def test_nothing_that_runs_what_a_file_says() -> None:
    found = [where(path, node) for path in MODULES for name, node in calls(path) if FORBIDDEN.fullmatch(name)]
    assert not found, "\n".join(found)


def test_no_shell() -> None:
    said = [
        where(path, node)
        for path in MODULES
        for _, node in calls(path)
        for keyword in node.keywords
        if keyword.arg == "shell" or (keyword.arg == "allow_pickle" and ast.unparse(keyword.value) != "False")
    ]
    assert not said, "\n".join(said)


@pytest.mark.parametrize("name", WITH)
def test_calls_that_are_safe_in_one_way_only(name: str) -> None:
    keyword, value, places = WITH[name]
    for path in MODULES:
        if name.rpartition(".")[2] not in path.read_text(encoding="utf-8"):
            continue
        for called, node in calls(path):
            if called != name and not called.endswith(f".{name}"):
                continue
            assert path.relative_to(PACKAGE).as_posix() in places, where(path, node)
            if keyword is not None:
                said = {each.arg: ast.unparse(each.value) for each in node.keywords}
                assert said.get(keyword) == str(value), where(path, node)


def test_no_address_without_tls() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}: {node.value}"
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("http://")
    ]
    said = {
        "app/services/viewing.py: http://",
        "app/services/serving.py: http://",
    }  # where a page of this machine is, told to a person
    assert not [each for each in found if "w3.org" not in each and each not in said]  # w3.org names formats
