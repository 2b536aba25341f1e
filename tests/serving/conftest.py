"""A service of made-up runs: what it says of an image depends on how bright that is (`tests.evaluation.stubs`)."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.evaluation.stubs import Plain, save_run
from transpose.worlds.world import World, save_world

pytest.importorskip("fastapi", reason="needs the extra serve")
pytest.importorskip("python_multipart", reason="needs the extra serve")
pytest.importorskip("prometheus_client", reason="needs the extra serve")
pytest.importorskip("httpx", reason="needs the extra dev")

REFUSED = 3  # of `Plain`


def photo(index: int, kind: str = "PNG", size: tuple[int, int] = (64, 48)) -> bytes:
    """An image file's bytes of which `Plain` makes its result of this index."""
    file = io.BytesIO()
    Image.fromarray(np.full((size[1], size[0], 3), 40 * index, np.uint8)).save(file, kind)
    return file.getvalue()


@pytest.fixture
def world(tmp_path: Path, box_world: World) -> Path:
    save_world(box_world, tmp_path / "world")
    return tmp_path / "world"


@pytest.fixture
def place(tmp_path: Path) -> Callable[..., Any]:
    """Makes a place to be served; without a world unless one is named."""
    from transpose.serving.places import Place

    def make(name: str = "house", world: Path | None = None, method: Any = None) -> Place:
        run = save_run(tmp_path / name, tmp_path / "scene")
        return Place(name, run, world, lambda _: Plain() if method is None else method)

    return make
