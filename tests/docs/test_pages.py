"""README and docs/: commands are read by the real command line, code compiles, links lead somewhere."""

from __future__ import annotations

import ast
import importlib
import json
import re
from pathlib import Path

import pytest

from tests.docs.markdown import PAGES, ROOT, Block, anchors, blocks, command_lines, links, prose
from transpose.app.command_table import COMMANDS, read

BLOCKS = [block for page in PAGES for block in blocks(page)]
NOTEBOOKS = sorted((ROOT / "docs").glob("*.ipynb"))


def cells(notebook: Path) -> list[Block]:
    """The code of a notebook, a block a cell."""
    read_in = json.loads(notebook.read_text("utf-8"))["cells"]
    return [Block(notebook, "sh", "".join(cell["source"])) for cell in read_in if cell["cell_type"] == "code"]


COMMAND_LINES = [
    pytest.param(words, id=f"{block.page.name}: {' '.join(words)[:50]}")
    for block in [*BLOCKS, *(cell for notebook in NOTEBOOKS for cell in cells(notebook))]
    for words in command_lines(block)
]


@pytest.mark.parametrize("words", COMMAND_LINES)
def test_every_command_is_one_that_is_understood(words: list[str]) -> None:
    try:
        read([word for word in words if word != "--debug"])
    except SystemExit as left:
        assert left.code == 0, " ".join(words)  # --help


def test_commands_that_are_named_in_a_sentence_exist() -> None:
    for page in PAGES:
        for name in re.findall(r"`transpose ([a-z][\w-]*)", page.read_text("utf-8")):
            assert name in COMMANDS, f"{page.name}: transpose {name}"


def python_of(block: Block) -> str:
    """A block's Python; in a notebook without the lines for the shell."""
    return "\n".join(line for line in block.text.splitlines() if not line.startswith(("!", "%")))


PYTHON = [block for block in BLOCKS if block.language == "python"] + [c for n in NOTEBOOKS for c in cells(n)]


@pytest.mark.parametrize("block", PYTHON, ids=lambda block: block.page.name)
def test_python_compiles_and_finds_what_it_imports(block: Block) -> None:
    tree = ast.parse(python_of(block))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                if name.name.split(".")[0] == "transpose":
                    _imported(name.name)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "transpose":
            module = _imported(str(node.module))
            assert all(hasattr(module, name.name) for name in node.names), ast.unparse(node)


def _imported(name: str) -> object:
    if name == "transpose.onnx":
        pytest.importorskip("onnxruntime", reason="extra export")
    return importlib.import_module(name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_anchors_lead_somewhere(page: Path) -> None:
    for target in links(page):
        name, _, anchor = target.partition("#")
        there = (page.parent / name).resolve() if name else page
        assert there.exists(), target
        if anchor and there.suffix == ".md":
            assert anchor in anchors(there), target


def test_every_page_is_in_the_site() -> None:
    listed = set(re.findall(r"[\w/]+\.md", (ROOT / "mkdocs.yml").read_text("utf-8").split("nav:")[1]))
    pages = {page.name for page in PAGES if page.parent.name == "docs"}
    assert listed == pages | {"generated/commands.md", "generated/python.md"}


def test_terms_are_explained() -> None:
    glossary = (ROOT / "docs" / "glossary.md").read_text("utf-8")
    for term in (
        "landmark",
        "keypoint",
        "NEES",
        "sandwich",
        "inlier",
        "map point",
        "witness",
        "descriptor",
        "NCE",
        "retrieval",
    ):
        assert re.search(rf"^\| [^|]*\b{term}\b", glossary, re.MULTILINE), term


# What only those know who work on localization; other words for them are the field's own: keypoint, match, map point.
JARGON = ("landmark", "witness", "NEES", "sandwich", "retrieval", "NCE", "PnP", "P3P", "P4Pf", "RANSAC")


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_jargon_is_explained_where_a_page_begins_to_use_it(page: Path) -> None:
    """The glossary is named before or where a term comes up; in a heading or a table, before or just behind it."""
    if page.name == "glossary.md":
        return
    paragraphs = prose(page).replace("Cambridge Landmarks", "").split("\n\n")
    known = next((i for i, text in enumerate(paragraphs) if "glossary.md" in text), len(paragraphs))
    for term in JARGON:
        pattern = re.compile(rf"\b{term}s?\b", re.IGNORECASE if term.islower() else 0)
        first = next((i for i, text in enumerate(paragraphs) if pattern.search(text)), None)
        assert first is None or known <= first + 1, f"{page.name} says {term}: {paragraphs[first][:200]}"


def test_notebooks_are_small_and_hold_no_outputs() -> None:
    for notebook in NOTEBOOKS:
        assert notebook.stat().st_size < 20_000
        assert not any(cell.get("outputs") for cell in json.loads(notebook.read_text("utf-8"))["cells"])
