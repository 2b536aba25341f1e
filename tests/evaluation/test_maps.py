"""Saved maps: nothing is lost on the way to disk and back."""

from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.stubs import Stub, make_results, make_section, saved_folder_in
from transpose.errors import TransposeError
from transpose.evaluation.maps import map_files, read_saved_map, save_maps


@pytest.fixture
def saved_folder(tmp_path: Path) -> Path:
    return saved_folder_in(tmp_path)


def test_maps_come_back_as_they_were(saved_folder: Path, tmp_path: Path) -> None:
    assert [path.stem for path in map_files(saved_folder)] == [f"frame-{i}" for i in range(5)]
    for path, result in zip(map_files(saved_folder), make_results(), strict=True):
        saved = read_saved_map(path)
        assert saved.coordinates_hw3.shape == (6, 8, 3) and saved.sigma_hw.shape == (6, 8)
        assert saved.coordinates_hw3.dtype == np.float64
        assert saved.image.is_file()
        back, estimate = saved.result, result.estimate
        assert back.error == result.error and back.seconds == result.seconds and back.truth.center is not None
        assert np.array_equal(back.truth.T_wc, result.truth.T_wc)
        assert (back.estimate.reason, back.estimate.score) == (estimate.reason, estimate.score)
        assert back.estimate.inliers == estimate.inliers and (back.estimate.pose is None) == (estimate.pose is None)
        assert np.array_equal(back.nees, result.nees, equal_nan=True)
    # The stub errs by 3 cm along each axis in the first frame, which stands at the origin.
    first = read_saved_map(map_files(saved_folder)[0])
    assert np.nanmedian(first.error_hw) == pytest.approx(0.03 * 3**0.5, rel=1e-6)


def test_maps_of_another_test_do_not_stay(saved_folder: Path, tmp_path: Path) -> None:
    section = make_section(tmp_path / "scene", "other", frames=2)
    save_maps(Stub(), section, make_results(2), saved_folder / "maps")
    assert [path.stem for path in map_files(saved_folder)] == ["frame-0", "frame-1"]

    def broken(pairs: object) -> object:
        raise TransposeError("cut off")

    with pytest.raises(TransposeError, match="cut off"):
        save_maps(Stub(), section, make_results(2), saved_folder / "maps", broken)  # type: ignore[arg-type]
    assert [path.stem for path in map_files(saved_folder)] == ["frame-0", "frame-1"]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"no archive at all"])
def test_a_broken_map_is_named(saved_folder: Path, content: bytes) -> None:
    path = map_files(saved_folder)[1]
    path.write_bytes(content)
    with pytest.raises(TransposeError, match=r"frame-1\.npz is no saved coordinate map"):
        read_saved_map(path)
    np.savez(path, coordinates=np.zeros((2, 2, 3)))
    with pytest.raises(TransposeError, match=r"frame-1\.npz is no saved coordinate map"):
        read_saved_map(path)


@pytest.mark.parametrize("name", ["reason", "image"])
def test_text_of_letters_that_there_are_not_is_named(saved_folder: Path, name: str) -> None:
    """NumPy's strings hold any 32 bits; Python raises `SystemError` of some."""
    path = map_files(saved_folder)[1]
    with np.load(path) as saved:
        arrays = dict(saved)
    arrays[name] = np.frombuffer(b"\xff" * 4, "<U1").reshape(())
    np.savez(path, **arrays)  # type: ignore[arg-type]
    with pytest.raises(TransposeError, match=r"frame-1\.npz is no saved coordinate map"):
        read_saved_map(path)
