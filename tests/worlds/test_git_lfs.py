"""Models whose files stayed with Git LFS are named, whatever their readers would make of such a text."""

from pathlib import Path

import pytest

from transpose.app.cli import main


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *(("mesh", f"a.{ending}") for ending in ("glb", "gltf", "obj", "ply")),
        *(("cloud", f"a.{ending}") for ending in ("ply", "las", "laz")),
        ("terrain", "a.tif"),
    ],
)
def test_pointers_are_named(tmp_path: Path, kind: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    if kind == "terrain":
        pytest.importorskip("rasterio", reason="the extra geo is not installed")
    path = tmp_path / name
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")
    more = ["--ortho", str(path)] if kind == "terrain" else []
    assert main(["build", kind, str(path), *more, "--out", str(tmp_path / "world")]) == 1
    err = capsys.readouterr().err.strip()
    assert f"{name} is a pointer of Git LFS, not the file itself" in err and len(err.splitlines()) == 1
    assert not (tmp_path / "world").exists()
