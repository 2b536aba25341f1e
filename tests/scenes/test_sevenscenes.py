import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.scenes.hidden_files import with_hidden_twins
from tests.scenes.raw_7scenes import write_raw
from transpose.errors import TransposeError
from transpose.geometry.cameras import pixel_centers
from transpose.geometry.lens import Lens
from transpose.geometry.poses import exp_se3, transform
from transpose.scenes import open_section
from transpose.scenes.labels import depth_at
from transpose.scenes.setup.posed_photos import PosedPhoto
from transpose.scenes.setup.registration import register_depth
from transpose.scenes.setup.sevenscenes import LICENCE, T_COLOR_DEPTH, setup_7scenes

STEMS = [f"frame-{i:06d}" for i in range(4)]


@pytest.mark.parametrize("jpeg", [False, True])
def test_published_layout_with_split_files(tmp_path: Path, jpeg: bool) -> None:
    source = write_raw(tmp_path / "raw", {"seq-01": STEMS, "seq-02": STEMS, "seq-03": STEMS}, jpeg)
    (source / "TrainSplit.txt").write_text("sequence1\nsequence2\n")
    (source / "TestSplit.txt").write_text("sequence3\n")
    with_hidden_twins(source)
    train, test = setup_7scenes(source, tmp_path / "scene")
    assert [frame.stem for frame in open_section(test).frames] == STEMS
    section = open_section(train)
    assert len(section) == 8
    frame = section.frames[1]
    assert frame.stem == "seq-01-frame-000001"
    assert frame.camera.fx == pytest.approx(52.5505)
    # The colour camera's pose, from the depth sensor's.
    T_wd = np.loadtxt(source / "seq-01" / "frame-000001.pose.txt")
    assert np.allclose(frame.pose.T_wc @ T_COLOR_DEPTH, T_wd, atol=1e-3)
    assert np.nanmedian(frame.depth()) == pytest.approx(2.0, abs=0.01)


def test_depth_too_far_for_millimetres_is_unknown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Sensors write some, such as RealSense's outliers; one warning counts them."""
    source = write_raw(tmp_path / "raw", {"seq-01": STEMS})
    clean = open_section(setup_7scenes(source, tmp_path / "clean")[0])
    assert "unknown" not in caplog.text
    for stem in STEMS[1:3]:
        path = source / "seq-01" / f"{stem}.depth.png"
        millimetres_hw = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert millimetres_hw is not None
        millimetres_hw[20:30, 30:40] = 62_000
        cv2.imwrite(str(path), millimetres_hw)
    section = open_section(setup_7scenes(source, tmp_path / "scene")[0])
    (told,) = [record.getMessage() for record in caplog.records if "taken for unknown" in record.getMessage()]
    pixels = re.search(r"train: (\d+) pixels have depth of 60 m and more", told)
    assert pixels is not None and 80 < int(pixels[1]) <= 200
    for number, (ours, before) in enumerate(zip(section.frames, clean.frames, strict=True)):
        hole_hw, there_hw = np.isnan(ours.depth()), np.isfinite(before.depth())
        assert 40 < (hole_hw & there_hw).sum() <= 100 if number in (1, 2) else not (hole_hw & there_hw).any()
        assert np.abs(ours.depth()[~hole_hw] - before.depth()[~hole_hw]).max() < 0.01


def test_sfm_poses_and_a_listed_section(tmp_path: Path) -> None:
    source = write_raw(tmp_path / "raw", {"seq-01": STEMS})
    poses, names = tmp_path / "pgt.txt", tmp_path / "list.txt"
    poses.write_text("# comment\n" + "".join(f"{s} 2 0 0 0 0.5 0 {i} 50.0\n" for i, s in enumerate(STEMS)))
    names.write_text("frame-000001\nseq-01/frame-000003\n")
    (written,) = setup_7scenes(source, tmp_path / "scene", poses, "extra", names)
    section = open_section(written)
    assert [frame.stem for frame in section.frames] == ["frame-000001", "frame-000003"]
    assert np.allclose(section.frames[1].pose.center, [-0.5, 0, -3])
    assert section.frames[0].camera.fx == 50
    # Another section is added beside it, and the first stays.
    setup_7scenes(source, tmp_path / "scene", poses, "more", names)
    assert len(open_section(written)) == 2


def test_depth_is_optional_in_a_listed_section(tmp_path: Path) -> None:
    source = write_raw(tmp_path / "raw", {"seq-01": STEMS})
    for stem in STEMS:
        (source / "seq-01" / f"{stem}.depth.png").unlink()
    (tmp_path / "list.txt").write_text("\n".join(STEMS))
    (written,) = setup_7scenes(source, tmp_path / "scene", section="bare", list_file=tmp_path / "list.txt")
    assert not open_section(written).has("depth")


def test_frames_of_another_list_do_not_stay(tmp_path: Path) -> None:
    """A set-up that was cut off goes on with the same frames only; others could be those that test."""
    source = write_raw(tmp_path / "raw", {"seq-01": STEMS})
    first, second = tmp_path / "first.txt", tmp_path / "second.txt"
    first.write_text("\n".join(STEMS[:3]))
    second.write_text("\n".join(STEMS[3:]))

    def cut_off(photos: Sequence[PosedPhoto], _: str) -> Iterator[PosedPhoto]:
        yield from photos[:2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        setup_7scenes(source, tmp_path / "scene", None, "mine", first, cut_off)
    (written,) = setup_7scenes(source, tmp_path / "scene", None, "mine", second)
    assert [frame.stem for frame in open_section(written).frames] == STEMS[3:]
    with pytest.raises(KeyboardInterrupt):
        setup_7scenes(source, tmp_path / "scene", None, "mine", first, cut_off)
    before = (tmp_path / "scene" / ".mine.unfinished" / "poses" / f"{STEMS[0]}.txt").stat().st_mtime_ns
    setup_7scenes(source, tmp_path / "scene", None, "mine", first)
    assert (written / "poses" / f"{STEMS[0]}.txt").stat().st_mtime_ns == before
    section = open_section(written)
    assert [frame.stem for frame in section.frames] == STEMS[:3]
    assert section.facts.depth == "png_mm" and section.facts.licence == LICENCE and not section.facts.rendered


@pytest.mark.parametrize(
    ("breakage", "words"),
    [
        ("empty", "holds no seq-"),
        ("twice", "write seq-XX/frame-000000"),
        ("unknown", "names frame-999999"),
        ("no pose", "have no pose"),
        ("bad pose list", "line 1"),
        ("truncated", "frame-000002.color.png"),
    ],
)
def test_broken_sources_are_named(tmp_path: Path, breakage: str, words: str) -> None:
    sequences = {"seq-01": STEMS, "seq-02": STEMS} if breakage == "twice" else {"seq-01": STEMS}
    source = write_raw(tmp_path / "raw", sequences)
    (source / "train.txt").write_text("seq-01/frame-000001\nseq-01/frame-000002\n")
    (source / "test.txt").write_text("seq-01/frame-000003\n")
    poses = None
    if breakage == "empty":
        source = tmp_path / "nothing"
        source.mkdir()
    elif breakage == "twice":
        (source / "train.txt").write_text("frame-000000")
    elif breakage == "unknown":
        (source / "train.txt").write_text("frame-999999")
    elif breakage == "no pose":
        (source / "seq-01" / "frame-000001.pose.txt").unlink()
    elif breakage == "bad pose list":
        poses = tmp_path / "poses.txt"
        poses.write_text("frame-000000 1 0 0 none 0 0 0\n")
    elif breakage == "truncated":
        path = source / "seq-01" / "frame-000002.color.png"
        path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(TransposeError, match=words):
        setup_7scenes(source, tmp_path / "scene", poses)
    assert not (tmp_path / "scene" / "train").exists()


def test_lost_frames_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = write_raw(tmp_path / "raw", {"seq-01": STEMS})
    (source / "seq-01" / f"{STEMS[1]}.pose.txt").write_text("-inf -inf -inf -inf\n" * 4)
    names = tmp_path / "all.txt"
    names.write_text("seq-01", encoding="utf-16")
    with caplog.at_level(logging.WARNING):
        (written,) = setup_7scenes(source, tmp_path / "scene", section="mine", list_file=names)
    assert [frame.stem for frame in open_section(written).frames] == [STEMS[0], *STEMS[2:]]
    assert f"1 of 4 frames of mine have no pose and are left out: seq-01/{STEMS[1]}" in caplog.text


@pytest.mark.parametrize("folder", ["datasets/chess/seq-01/", "D:\\chess\\seq-01\\", "images/", ""])
def test_poses_of_ace0_are_read(tmp_path: Path, folder: str, caplog: pytest.LogCaptureFixture) -> None:
    """`path qw qx qy qz tx ty tz focal confidence`, world to camera; below 1000 an image is not registered."""
    source = write_raw(tmp_path / "raw", {"seq-01": STEMS})
    confidence = (1000, 999.9, 5000, 0)
    lines = [
        f"{folder}{s}.color.png 1 0 0 0 0.5 0 {i} 51.5 {c}"
        for i, (s, c) in enumerate(zip(STEMS, confidence, strict=True))
    ]
    poses = tmp_path / "poses_final.txt"
    poses.write_text("\n".join(lines), encoding="utf-8-sig")
    with caplog.at_level(logging.WARNING):
        (written,) = setup_7scenes(source, tmp_path / "scene", poses, "mine")
    frames = open_section(written).frames
    assert [frame.stem for frame in frames] == [STEMS[0], STEMS[2]]
    assert frames[1].camera.fx == 51.5 and np.allclose(frames[1].pose.center, [-0.5, 0, -2])
    assert "2 of 4 frames of mine have no pose and are left out" in caplog.text
    poses.write_text("\n".join(f"{s} 1 0 0 0 0.5 0 0 0.25 0.02" for s in STEMS))  # a table of errors, not ACE0's
    with pytest.raises(TransposeError, match=r"holds no poses .*confidence of 1000"):
        setup_7scenes(source, tmp_path / "scene", poses, "mine")


def test_registration_matches_a_pixel_by_pixel_twin() -> None:
    depth_lens, color_lens = Lens(32, 24, 60, 60, 16, 12), Lens(32, 24, 54, 54, 16.5, 12, k1=0.2, p1=0.01)
    rng = np.random.default_rng(0)
    # Two surfaces, each rough by up to 4 %: depths of one pixel are of one surface, or not, or by a hair.
    depth_hw = (rng.choice([1.2, 2.0], (24, 32)) * rng.uniform(1, 1.04, (24, 32))).astype(np.float32)
    depth_hw[rng.random((24, 32)) < 0.2] = np.nan
    T_cd = exp_se3(np.array([0.01, -0.02, 0.01, 0.03, 0, 0]))
    reached: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for y in range(24):
        for x in range(32):
            if np.isfinite(depth_hw[y, x]):
                ray = np.array([(x + 0.5 - 16) / 60, (y + 0.5 - 12) / 60, 1])
                point = transform(T_cd, ray * depth_hw[y, x])
                u, v = color_lens.px_of_directions(point) - 0.5
                for i in (int(np.floor(v)), int(np.floor(v)) + 1):
                    for j in (int(np.floor(u)), int(np.floor(u)) + 1):
                        if 0 <= i < 24 and 0 <= j < 32:
                            share = (1 - abs(u - j)) * (1 - abs(v - i))
                            reached.setdefault((i, j), []).append((share, point[2]))
    expected_hw = np.full((24, 32), np.nan)
    for at, depths in reached.items():
        nearest = min(z for _, z in depths)
        of_it = [(share, 1 / z) for share, z in depths if z <= 1.03 * nearest]
        expected_hw[at] = sum(share for share, _ in of_it) / sum(share * each for share, each in of_it)
    out_hw = register_depth(depth_hw, depth_lens, color_lens, T_cd)
    assert np.allclose(out_hw, expected_hw, rtol=1e-4, equal_nan=True)


@pytest.mark.parametrize("noise_m", [0.0, 0.005])
@pytest.mark.parametrize("slope", [0.0, 0.6])
def test_a_noisy_wall_is_where_it_is(slope: float, noise_m: float) -> None:
    """The nearest of the depths that reach a pixel would be 2 to 6 mm too near."""
    depth_lens, color_lens = Lens(160, 120, 146, 146, 80, 60), Lens(160, 120, 131, 131, 80, 60)
    normal_3, away_m = np.array([slope, 0.3 * slope, 1.0]), 2.0  # of the sensor's frame: normal @ point = away
    rays_hw3 = (pixel_centers(160, 120) - [80, 60]) / 146
    depth_hw = away_m / (rays_hw3 @ normal_3[:2] + 1)
    depth_hw += noise_m * np.random.default_rng(0).normal(size=depth_hw.shape)
    seen_hw = register_depth(depth_hw, depth_lens, color_lens, T_COLOR_DEPTH)
    across_3 = T_COLOR_DEPTH[:3, :3] @ normal_3
    true_hw = (away_m + across_3 @ T_COLOR_DEPTH[:3, 3]) / (
        (pixel_centers(160, 120) - [80, 60]) / 131 @ across_3[:2] + across_3[2]
    )
    off_hw = (seen_hw - true_hw)[8:-8, 8:-8]
    assert abs(np.nanmean(off_hw)) < 3e-4 and np.nanstd(off_hw) < 0.8 * noise_m + 1e-3


def test_kitchen_depth_agrees_with_the_poses(kitchen_source: Path, tmp_path: Path) -> None:
    """On real frames: a wall seen from two poses is one wall. Wrong registration or poses would show in centimetres."""
    names = tmp_path / "two.txt"
    names.write_text("frame-000400\nframe-000420\n")
    (written,) = setup_7scenes(kitchen_source, tmp_path / "k", kitchen_source / "pgt_sfm.txt", "two", names)
    a, b = open_section(written).frames
    rays = a.camera.unproject(pixel_centers(640, 480)[::16, ::16].reshape(-1, 2))
    depth_n = a.depth()[::16, ::16].reshape(-1)
    points = transform(b.pose.T_cw, transform(a.pose.T_wc, rays * depth_n[:, None]))
    seen = np.isfinite(points).all(1) & (points[:, 2] > 0)
    px_n2 = b.camera.project(points[seen])
    difference = depth_at(b.depth(), px_n2) - points[seen, 2]
    assert np.isfinite(difference).sum() > 200
    assert np.nanmedian(np.abs(difference)) < 0.03


def test_a_recording_without_a_split_is_learned_from_as_a_whole(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = write_raw(tmp_path / "raw", {"seq-01": STEMS})
    (written,) = setup_7scenes(source, tmp_path / "scene")
    assert written.name == "train" and len(open_section(written).frames) == len(STEMS)
    assert "names no split into train and test" in caplog.text
    (source / "train.txt").write_text("seq-01/frame-000001\n")
    (written,) = setup_7scenes(source, tmp_path / "half")
    assert len(open_section(written).frames) == 1 and "no section test is set up" in caplog.text
