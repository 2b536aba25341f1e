"""Every reader against some hundred broken files; `benchmarks/fuzz.py` has tens of thousands of them."""

from __future__ import annotations

import importlib.util
import logging
import math
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
needed = ("resource", "laspy", "rasterio", "pyproj", "h5py")
if missing := [name for name in needed if importlib.util.find_spec(name) is None]:
    pytest.skip(f"{', '.join(missing)} not installed", allow_module_level=True)

from fuzzing import sandbox  # noqa: E402
from fuzzing.readers import READERS  # noqa: E402

CASES, SEED = 60, 16


@pytest.fixture(scope="module")
def watch() -> sandbox.Watch:
    return sandbox.Watch()


@pytest.fixture(autouse=True)
def silent() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("name", READERS)
def test_whole_files_are_read_and_broken_ones_are_read_or_refused(
    name: str, tmp_path: Path, watch: sandbox.Watch
) -> None:
    reader = READERS[name]
    seeds = reader.seeds(tmp_path / "seeds")
    for files in seeds:
        sandbox.write_case(tmp_path / "project" / "case", files)
        reader.read(tmp_path / "project" / "case")
    cases = range(max(2, math.ceil(CASES * reader.share)))
    tally = sandbox.run_cases(reader, seeds, tmp_path, cases, SEED, watch)
    assert not tally.finds
    assert tally.accepted + tally.refused == len(cases)


def test_cases_depend_on_their_number_alone(tmp_path: Path) -> None:
    reader = READERS["mesh (OBJ, MTL)"]
    seeds = reader.seeds(tmp_path)
    one, again, other = (
        sandbox.broken_files(sandbox.case_stream(0, reader, case), reader, seeds) for case in (7, 7, 8)
    )
    assert one == again != other


class TestTheSandboxItself:
    """It finds what it is there to find."""

    @staticmethod
    def found(read: object, tmp_path: Path, watch: sandbox.Watch) -> str:
        reader = sandbox.Reader("x", lambda _: [{"a.txt": b"1 2 3"}], read)  # type: ignore[arg-type]
        tally = sandbox.run_cases(reader, reader.seeds(tmp_path), tmp_path, range(1), 0, watch)
        return " ".join(tally.finds)

    def test_other_errors(self, tmp_path: Path, watch: sandbox.Watch) -> None:
        assert "ZeroDivisionError" in self.found(lambda folder: 1 / 0, tmp_path, watch)

    def test_files_outside(self, tmp_path: Path, watch: sandbox.Watch) -> None:
        outside = tmp_path / "outside.png"
        assert "reads outside: /outside.png" in self.found(lambda folder: outside.read_bytes(), tmp_path, watch)
        assert "writes outside" in self.found(lambda folder: outside.write_bytes(b""), tmp_path, watch)

    def test_code(self, tmp_path: Path, watch: sandbox.Watch) -> None:
        assert "compile by" in self.found(lambda folder: compile("1", "x", "eval"), tmp_path, watch)

    def test_programs(self, tmp_path: Path, watch: sandbox.Watch) -> None:
        import subprocess

        assert "subprocess.Popen" in self.found(lambda folder: subprocess.run(["true"]), tmp_path, watch)

    def test_memory(self, tmp_path: Path, watch: sandbox.Watch) -> None:
        from transpose.errors import TransposeError

        def read(folder: Path) -> None:
            try:
                raise MemoryError
            except MemoryError:
                raise TransposeError(f"{folder} is broken") from None

        assert "more memory" in self.found(read, tmp_path, watch)
