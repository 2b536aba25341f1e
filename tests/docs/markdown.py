"""What tests need of Markdown: code blocks, links, headings, and the commands in them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
_BLOCK = re.compile(r"^ {0,3}```([^\n`]*)\n(.*?)^ {0,3}```", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"^    (transpose [^\n]*)$", re.MULTILINE)
_LINK = re.compile(r"\]\(\s*([^()\s]+)\s*\)")


@dataclass(frozen=True)
class Block:
    """A block of code, the language that its fence names, and its page."""

    page: Path
    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page; a command that stands indented is one as well."""
    text = page.read_text("utf-8")
    fenced = [Block(page, match[1].strip(), match[2]) for match in _BLOCK.finditer(text)]
    return fenced + [Block(page, "sh", match[1]) for match in _INDENTED.finditer(_BLOCK.sub("", text))]


def command_lines(block: Block) -> list[list[str]]:
    """The words of each `transpose ...` line: comments gone, continued lines joined, what is optional taken along."""
    if block.language not in ("", "sh", "bash", "shell", "console"):
        return []
    joined = re.sub(r"\\\n\s*", " ", block.text)
    lines = [line.strip().removeprefix("$ ").removeprefix("!") for line in joined.splitlines()]
    shown = [re.sub(r"\[(-[^\]]*)\]", r"\1", line) for line in lines if line.startswith("transpose ")]
    return [shlex.split(line, comments=True)[1:] for line in shown]


def prose(page: Path) -> str:
    """A page without its code."""
    return re.sub(r"`[^`\n]*`", "", _BLOCK.sub("", page.read_text("utf-8")))


def links(page: Path) -> list[str]:
    """Targets within the repository."""
    found = _LINK.findall(prose(page))
    return [target for target in found if not re.match(r"[a-z]+:", target) and not target.startswith("../../")]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and mkdocs make them."""
    headings = re.findall(r"^#+ +(.+?) *$", _BLOCK.sub("", page.read_text("utf-8")), re.MULTILINE)
    slugs = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
    return set(slugs)
