"""What places are called."""

from pathlib import Path

import pytest

from transpose.errors import TransposeError
from transpose.serving.places import names_of


def test_places_are_called_by_what_tells_them_apart(tmp_path: Path) -> None:
    def named(*folders: str) -> list[str]:
        return names_of([tmp_path / folder for folder in folders])

    assert named("runs/kitchen") == ["kitchen"]
    assert named("a/run", "b/run") == ["a-run", "b-run"]
    assert named("house-transpose/run", "runs/garden") == ["house", "garden"]  # the first of `transpose up house.glb`
    assert named("a/house-transpose/run", "b/house-transpose/run") == ["a-house", "b-house"]
    assert named("house-transpose/run", "house") == ["run", "house"]
    assert len(set(named("a/b-c", "a-b/c", "z/c"))) == 3
    assert names_of([Path("/run"), Path("/data/run")]) == ["run", "data-run"]  # mounted in a container
    with pytest.raises(TransposeError, match="is named twice"):
        named("runs/kitchen", "runs/../runs/kitchen")
