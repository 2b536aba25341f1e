"""hloc's files: those of hloc are read, ours are hloc's, and broken ones are said to be."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from transpose.errors import MissingPackageError, TransposeError
from transpose.geometry.poses import Pose, compose, exp_so3
from transpose.randomness import stream
from transpose.scenes.hloc.features import (
    Features,
    read_features,
    read_global_descriptors,
    write_features,
    write_global_descriptors,
)
from transpose.scenes.hloc.lists import read_pairs, read_results, write_pairs, write_results
from transpose.scenes.hloc.matches import Matches, read_matches, write_matches

h5py = pytest.importorskip("h5py", reason="the extra sfm is not installed")
from tests.scenes.hloc import files_as_hloc_writes_them as theirs  # noqa: E402

DB1, DB2, QUERY = theirs.PHOTOS


def one_photo(keypoints: int = 5) -> Features:
    rng = stream(0, "one photo")
    px_n2 = rng.uniform(0, 3000, (keypoints, 2)).astype(np.float32)
    return Features(px_n2, np.float32(rng.normal(size=(keypoints, 4))), np.float32(rng.random(keypoints)), (4000, 3000))


@pytest.mark.parametrize("scores", ["scores", "keypoint_scores"])
def test_features_of_hloc_are_read(tmp_path: Path, scores: str) -> None:
    keypoints = theirs.write_features(path := tmp_path / "feats.h5", scores=scores)
    features = read_features(path, [QUERY, DB1])
    assert list(features) == [QUERY, DB1]
    for name, each in features.items():
        # hloc counts pixel centres at whole numbers.
        np.testing.assert_allclose(each.keypoints_n2, np.float32(keypoints[name]) + 0.5)
        assert each.descriptors_nd.shape == (theirs.PHOTOS[name], 16)
        assert each.size == theirs.SIZE
        assert np.isfinite(each.scores_n).all()
    assert list(read_features(path)) == sorted(theirs.PHOTOS)


def test_features_go_round(tmp_path: Path) -> None:
    theirs.write_features(first := tmp_path / "feats.h5")
    features = read_features(first)
    write_features(second := tmp_path / "again.h5", features)
    with h5py.File(first) as a, h5py.File(second) as b:
        for name in theirs.PHOTOS:
            assert set(a[name]) == set(b[name])
            for data in a[name]:
                np.testing.assert_array_equal(a[name][data][()], b[name][data][()])


def test_keypoints_keep_their_digits(tmp_path: Path) -> None:
    write_features(path := tmp_path / "feats.h5", {"a.jpg": one_photo()})
    np.testing.assert_allclose(read_features(path)["a.jpg"].keypoints_n2, one_photo().keypoints_n2, atol=1e-3)


def test_features_without_scores(tmp_path: Path) -> None:
    nameless = replace(one_photo(), scores_n=np.full(5, np.nan, np.float32))
    write_features(path := tmp_path / "feats.h5", {"a.jpg": nameless})
    assert np.isnan(read_features(path)["a.jpg"].scores_n).all()


def test_photo_without_keypoints(tmp_path: Path) -> None:
    write_features(path := tmp_path / "feats.h5", {"a.jpg": one_photo(0)})
    assert len(read_features(path)["a.jpg"]) == 0


def test_global_descriptors_go_round(tmp_path: Path) -> None:
    descriptors_nd = theirs.write_global_descriptors(path := tmp_path / "global.h5")
    names = list(theirs.PHOTOS)
    found_nd = read_global_descriptors(path, names[::-1])
    np.testing.assert_array_equal(found_nd, descriptors_nd[::-1].astype(np.float32))
    write_global_descriptors(again := tmp_path / "again.h5", names[::-1], found_nd)
    np.testing.assert_array_equal(read_global_descriptors(again, names), descriptors_nd.astype(np.float32))


@pytest.mark.parametrize("separator", ["/", "_"])
@pytest.mark.parametrize("turned", [False, True])
def test_matches_of_hloc_are_read(tmp_path: Path, separator: str, turned: bool) -> None:
    to_n = theirs.write_matches(path := tmp_path / "matches.h5", DB1, QUERY, separator)
    pair = (QUERY, DB1) if turned else (DB1, QUERY)
    index_m2, score_m = read_matches(path, [pair], theirs.PHOTOS)[pair]
    expected = [(n, to) for n, to in enumerate(to_n) if to >= 0]
    np.testing.assert_array_equal(index_m2[:, ::-1] if turned else index_m2, expected)
    np.testing.assert_array_equal(score_m, 0.75)


def test_matches_go_round(tmp_path: Path) -> None:
    theirs.write_matches(first := tmp_path / "matches.h5", DB1, QUERY)
    theirs.write_matches(first, DB2, DB1)
    matches = read_matches(first, [(DB1, QUERY), (DB2, DB1)])
    write_matches(second := tmp_path / "again.h5", matches, theirs.PHOTOS)
    with h5py.File(first) as a, h5py.File(second) as b:
        for pair in ("db-day-1.jpg/query-1.jpg", "db-day-2.jpg/db-day-1.jpg"):
            for data in ("matches0", "matching_scores0"):
                np.testing.assert_array_equal(a[pair][data][()], b[pair][data][()])
                assert a[pair][data].dtype == b[pair][data].dtype


def test_many_keypoints_do_not_wrap(tmp_path: Path) -> None:
    matches = {("a", "b"): Matches(np.array([[1, 40_000]]), np.array([np.nan]))}
    write_matches(path := tmp_path / "matches.h5", matches, counts := {"a": 3, "b": 50_000})
    index_m2, score_m = read_matches(path, [("a", "b")], counts)["a", "b"]
    assert index_m2.tolist() == [[1, 40_000]]
    assert score_m.tolist() == [1.0]


def test_lists_go_round(tmp_path: Path) -> None:
    pairs = [(QUERY, DB2), (QUERY, DB1)]
    write_pairs(path := tmp_path / "pairs.txt", pairs)
    assert path.read_text() == f"{QUERY} {DB2}\n{QUERY} {DB1}\n"
    assert read_pairs(path, theirs.PHOTOS) == pairs
    pose = Pose(compose(exp_so3(np.array([0.3, -1.0, 2.0])), np.array([1.0, 2.0, -3.0])))
    write_results(results := tmp_path / "results.txt", {"1.jpg": pose, "refused.jpg": None})
    found = read_results(results)
    assert list(found) == ["1.jpg"]
    np.testing.assert_allclose(found["1.jpg"].T_wc, pose.T_wc, atol=1e-12)


def test_results_are_world_to_camera(tmp_path: Path) -> None:
    (path := tmp_path / "results.txt").write_text("a.jpg 1 0 0 0 1 2 3\n")
    assert read_results(path)["a.jpg"].center.tolist() == [-1, -2, -3]


@pytest.mark.parametrize("keep", [0, 10, 2000, 0.5, 0.95])
@pytest.mark.parametrize("what", ["features", "global", "matches"])
def test_truncated_files_are_named(tmp_path: Path, what: str, keep: float) -> None:
    path = tmp_path / f"{what}.h5"
    if what == "features":
        theirs.write_features(path)
    elif what == "global":
        theirs.write_global_descriptors(path)
    else:
        theirs.write_matches(path, DB1, QUERY)
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data)) if keep < 1 else int(keep)])
    with pytest.raises(TransposeError, match=rf"{what}\.h5"):
        if what == "features":
            read_features(path, list(theirs.PHOTOS))
        elif what == "global":
            read_global_descriptors(path, list(theirs.PHOTOS))
        else:
            read_matches(path, [(DB1, QUERY)])


def spoiled(path: Path, data: str, values: object) -> Path:
    """The file with a data set of the first photo replaced."""
    theirs.write_features(path)
    with h5py.File(path, "a") as file:
        del file[DB1][data]
        if values is not None:
            file[DB1][data] = values
    return path


@pytest.mark.parametrize(
    ("data", "values", "said"),
    [
        ("keypoints", np.zeros((40, 3)), "shape"),
        ("keypoints", np.zeros((39, 2)), "39 keypoints, but descriptors"),
        ("keypoints", np.full((40, 2), np.nan), "80 of 80 numbers in keypoints of db/day/1.jpg are NaN"),
        ("descriptors", np.zeros((40, 16)), "one column a keypoint"),
        ("descriptors", np.full((16, 40), np.inf), "infinite"),
        ("descriptors", None, "has no descriptors"),
        ("descriptors", np.array(["a"] * 40, dtype="S1"), "holds no numbers"),
        ("scores", np.zeros(3), "but scores of shape"),
        ("image_size", np.zeros(2), "width and height"),
    ],
)
def test_features_that_cannot_be_are_refused(tmp_path: Path, data: str, values: object, said: str) -> None:
    with pytest.raises(TransposeError, match=said):
        read_features(spoiled(tmp_path / "feats.h5", data, values), [DB1])


def test_files_of_another_database_are_refused(tmp_path: Path) -> None:
    theirs.write_features(features := tmp_path / "feats.h5")
    with pytest.raises(TransposeError, match=r"no keypoints of 1 of 2 photos \(elsewhere.jpg\).*another database"):
        read_features(features, [DB1, "elsewhere.jpg"])
    theirs.write_global_descriptors(descriptors := tmp_path / "global.h5")
    with pytest.raises(TransposeError, match="no global descriptors"):
        read_global_descriptors(descriptors, ["elsewhere.jpg"])
    theirs.write_matches(matches := tmp_path / "matches.h5", DB1, QUERY)
    with pytest.raises(TransposeError, match="no matches of 1 of 2 pairs"):
        read_matches(matches, [(DB1, QUERY), (DB2, QUERY)])
    for counts in ({DB1: 41, QUERY: 25}, {DB1: 40, QUERY: 10}):
        with pytest.raises(TransposeError, match="they are of other features"):
            read_matches(matches, [(DB1, QUERY)], counts)
    with pytest.raises(TransposeError, match=r"have no photo query/1\.jpg"):
        read_matches(matches, [(DB1, QUERY)], {DB1: 40})
    write_pairs(pairs := tmp_path / "pairs.txt", [(QUERY, "elsewhere.jpg")])
    with pytest.raises(TransposeError, match="1 photos that do not occur"):
        read_pairs(pairs, theirs.PHOTOS)
    with pytest.raises(TransposeError, match="has no matches"):  # a file of features in place of matches
        read_matches(features, [(DB1, QUERY)])
    with pytest.raises(TransposeError, match="no keypoints"):
        read_features(matches, [DB1])


@pytest.mark.parametrize(
    ("values", "said"),
    [(np.full(4, 0.5), "whole numbers"), (np.full(4, -7, np.int16), "-7"), (np.zeros((4, 2), np.int16), "list")],
)
def test_matches_that_cannot_be_are_refused(tmp_path: Path, values: np.ndarray, said: str) -> None:
    with h5py.File(path := tmp_path / "matches.h5", "w") as file:
        file["a/b/matches0"] = values
    with pytest.raises(TransposeError, match=said):
        read_matches(path, [("a", "b")])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("a.jpg 1 0 0 0 1 2\n", "line 1: not a name"),
        ("\na.jpg 1 0 0 0 1 2 x\n", "line 2: not a name"),
        ("a.jpg nan 0 0 0 1 2 3\n", "none"),
        ("a.jpg 0 0 0 0 1 2 3\n", "none"),
        ("a.jpg 1 0 0 0 1 2 3\na.jpg 1 0 0 0 1 2 3\n", "line 2: a.jpg has a pose already"),
    ],
)
def test_broken_results_are_refused(tmp_path: Path, text: str, said: str) -> None:
    (path := tmp_path / "results.txt").write_text(text)
    with pytest.raises(TransposeError, match=said):
        read_results(path)


def test_broken_pairs_are_refused(tmp_path: Path) -> None:
    (path := tmp_path / "pairs.txt").write_text("a.jpg b.jpg\na.jpg\n")
    with pytest.raises(TransposeError, match="line 2: 1 words"):
        read_pairs(path)
    path.write_text("\n")
    with pytest.raises(TransposeError, match="empty"):
        read_pairs(path)


def test_what_hlocs_files_cannot_hold_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(TransposeError, match="blank"):
        write_pairs(tmp_path / "pairs.txt", [("my photo.jpg", "b.jpg")])
    none = Matches(np.zeros((0, 2), np.int64), np.zeros(0))
    with pytest.raises(TransposeError, match="two pairs"):
        write_matches(tmp_path / "m.h5", {("a/b", "c"): none, ("a-b", "c"): none}, {"a/b": 1, "a-b": 1, "c": 1})
    twice = Matches(np.array([[0, 0], [0, 1]]), np.ones(2))
    with pytest.raises(ValueError, match="twice"):
        write_matches(tmp_path / "m.h5", {("a", "b"): twice}, {"a": 1, "b": 2})
    assert not list(tmp_path.iterdir())


def test_missing_h5py_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'transpose-loc\[sfm\]'"):
        read_features(tmp_path / "feats.h5")
