"""Runs as ONNX: the graph against PyTorch, the runtime without it, and what cannot be exported."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.localization.checkpoints import CAMERA, checkpoint
from transpose import runs
from transpose.app.cli import main
from transpose.errors import TransposeError
from transpose.exporting.graph import LocalizerGraph
from transpose.geometry import Pose
from transpose.geometry.poses import compose, pose_error, transform
from transpose.localization.confidence import confidence as torch_confidence
from transpose.localization.landmarks import LandmarkMap
from transpose.localization.scene_coordinates import SceneCoordinateLocalizer
from transpose.losses.uncertainty import PredictedUncertainty, Uncertainty
from transpose.models.ace import AceHeadConfig
from transpose.models.adapter import AdapterConfig
from transpose.models.crossloc import CrossLocConfig
from transpose.models.dsacstar import DsacStarConfig
from transpose.models.heads import HeadConfig
from transpose.models.keypoints import keypoints_of
from transpose.models.mlr import MlrConfig
from transpose.models.networks import build_network, network_state
from transpose.models.recognition import Recognition, RecognitionConfig
from transpose.runs import Calibration, LearnedCamera, StoredNetwork

pytest.importorskip("onnx", reason="pip install 'transpose-loc[export]'")
pytest.importorskip("onnxruntime", reason="pip install 'transpose-loc[export]'")
import transpose.onnx
from transpose.onnx import __main__ as onnx_command
from transpose.onnx.localizer import OnnxLocalizer

ORIGIN = np.array([500_000.0, 5_000_000.0, 400.0])


def photo(width: int = 160, height: int = 120, seed: int = 0) -> np.ndarray:
    """Blocks of noise: corners enough for keypoints."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 255, (-(-height // 10), -(-width // 10), 3), dtype=np.uint8)
    return np.ascontiguousarray(np.kron(blocks, np.ones((10, 10, 1), np.uint8))[:height, :width])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that knows as landmarks what `photo` shows on a slanted wall, seen from a known place."""
    known = checkpoint()
    camera = replace(CAMERA, width=160, height=120, cx=80.0, cy=60.0)
    localizer = SceneCoordinateLocalizer(replace(known, camera=LearnedCamera(camera)), precision="float32")
    maps = localizer._network.maps(photo())
    keypoints = keypoints_of(maps, (120, 160), 4000)
    px_n2 = keypoints.px_n2.double().numpy()
    points_n3 = transform(truth_local().T_wc, camera.unproject(px_n2) * (3 + px_n2[:, :1] / 80))
    toward_n3 = torch.nn.functional.normalize(torch.from_numpy(truth_local().center - points_n3).float(), dim=1)
    landmarks = LandmarkMap(torch.from_numpy(points_n3).float(), keypoints.descriptors_nc, toward_n3).state()
    calibration = Calibration(covariance_scales={"landmarks": 1.0}, confidence_offsets={"landmarks": 0.5})
    folder = tmp_path_factory.mktemp("run")
    with_place = replace(
        known, camera=LearnedCamera(camera), landmarks=landmarks, origin_3=ORIGIN, calibration=calibration
    )
    runs.save_model(folder, with_place)
    return folder


def truth_local() -> Pose:
    return Pose(compose(np.eye(3), np.array([0.3, -0.2, 0.1])))


@pytest.fixture(scope="module")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exported") / "place"
    assert main(["export", str(run), "--to", "onnx", "--out", str(out)]) == 0
    return out


@pytest.mark.parametrize("size", [(160, 120), (203, 97), (256, 128)])
def test_the_graph_is_pytorch_s(run: Path, exported: Path, size: tuple[int, int]) -> None:
    image_hw3 = photo(*size)
    output = transpose.onnx.load(exported, threads=1).run(image_hw3)
    localizer = SceneCoordinateLocalizer(runs.load_model(run), precision="float32")
    maps = localizer._network.maps(image_hw3)
    keypoints = keypoints_of(maps, image_hw3.shape[:2], 4000)
    cells = localizer._network.coordinates(maps, CAMERA).points_hw3 - ORIGIN
    assert output["cells_hwk"].shape[:2] == (-(-size[1] // 8), -(-size[0] // 8))
    assert np.abs(output["cells_hwk"][..., :3] - cells).max() < 1e-4
    assert len(output["keypoints_n2"]) == len(keypoints) > 20
    # Equally strong ones may change places.
    distance_nm = np.linalg.norm(output["keypoints_n2"][:, None] - keypoints.px_n2.numpy(), axis=2)
    same_n = distance_nm.argmin(1)
    assert distance_nm.min(1).max() < 1e-3 and len(set(same_n)) == len(same_n)
    assert np.abs(output["descriptors_nc"] - keypoints.descriptors_nc.numpy()[same_n]).max() < 1e-4


def test_points_are_computed_only_when_asked(exported: Path) -> None:
    localizer = transpose.onnx.load(exported, threads=1)
    assert localizer.run(photo(), with_points=False)["cells_hwk"].size == 0
    blank = localizer.run(np.zeros((64, 80, 3), np.uint8))
    assert len(blank["keypoints_n2"]) == 0 and blank["cells_hwk"].shape[:2] == (8, 10)


def test_a_photo_is_localized_as_by_pytorch(run: Path, exported: Path) -> None:
    estimate = transpose.onnx.load(exported, threads=1).localize(photo())
    theirs = SceneCoordinateLocalizer(runs.load_model(run), precision="float32").localize(
        photo(), camera=estimate.camera
    )
    truth = Pose(compose(truth_local().R_wc, truth_local().center + ORIGIN))
    assert estimate.pose is not None and theirs.pose is not None and estimate.reason == "ok"
    for pose in (estimate.pose, theirs.pose):
        degrees, metres = pose_error(pose, truth)
        assert metres < 0.01 and degrees < 0.2
    assert theirs.confidence == pytest.approx(estimate.confidence, abs=0.02)


def test_another_image_is_refused(exported: Path) -> None:
    localizer = transpose.onnx.load(exported, threads=1)
    for image in (photo(seed=1), np.zeros((120, 160, 3), np.uint8)):
        estimate = localizer.localize(image)
        assert estimate.pose is None and estimate.reason in ("low_score", "no_consensus")


def test_recognized_points_are_in_the_graph(tmp_path: Path) -> None:
    network = build_network("fast", asdict(checkpoint_head()))
    network.recognition = recognition = Recognition(RecognitionConfig(points=7))
    torch.nn.init.normal_(recognition.keys_kd)
    recognition.points_k3.normal_()
    from transpose.exporting.onnx_folder import trace

    graph = LocalizerGraph(network.eval(), 50).eval()
    trace(graph, tmp_path / "graph.onnx")
    import onnxruntime

    session = onnxruntime.InferenceSession(tmp_path / "graph.onnx", providers=["CPUExecutionProvider"])
    outputs = dict(zip(graph.output_names, session.run(None, {"image_hw3": photo()}), strict=True))
    with torch.inference_mode():
        expected = dict(zip(graph.output_names, graph(torch.from_numpy(photo())), strict=True))
        maps = network.encoder.maps(torch.from_numpy(photo()).permute(2, 0, 1)[None].float())
        from transpose.models.keypoints import features_at

        theirs = recognition.recognized(features_at(maps, torch.from_numpy(outputs["keypoints_n2"])))
    assert len(outputs["keypoints_n2"]) == 50
    assert np.abs(outputs["recognized_n3"] - theirs.points_n3.numpy()).max() < 1e-4
    assert np.abs(outputs["probability_n"] - theirs.probability_n.numpy()).max() < 1e-4
    assert np.array_equal(recognition.points_k3.numpy()[outputs["number_n"]], outputs["recognized_n3"])
    assert expected["recognized_n3"].shape == (50, 3)


def checkpoint_head() -> object:
    from tests.localization.checkpoints import HEAD

    return HEAD


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_smaller_ones_localize_too(run: Path, exported: Path, tmp_path: Path, precision: str) -> None:
    from PIL import Image

    (tmp_path / "photos").mkdir()
    Image.fromarray(photo()).save(tmp_path / "photos" / "a.png")
    words = ["export", str(run), "--to", "onnx", "--out", str(tmp_path / "small"), "--precision", precision]
    words += ["--images", str(tmp_path / "photos")] if precision == "int8" else []
    assert main(words) == 0
    sizes = [(folder / "model.onnx").stat().st_size for folder in (tmp_path / "small", exported)]
    assert sizes[0] < 0.7 * sizes[1]
    estimate = transpose.onnx.load(tmp_path / "small", threads=1).localize(photo())
    assert estimate.pose is not None
    assert np.linalg.norm(estimate.pose.center - ORIGIN - truth_local().center) < 0.2


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("dsacstar", asdict(DsacStarConfig())),
        ("ace", asdict(AceHeadConfig(width=64, head_blocks=0))),
        ("ace-xfeat", asdict(AceHeadConfig(in_channels=256, width=64, head_blocks=0))),
        ("fast-adapted", {"adapter": asdict(AdapterConfig()), "width": 8, "blocks": 1, "anchors": 2}),
        ("crossloc", asdict(CrossLocConfig())),
        ("mlr", MlrConfig(head=HeadConfig(width=8, blocks=1, anchors=2), tasks=("depth",), width=8).plain()),
    ],
)
def test_other_networks_are_exported_too(tmp_path: Path, name: str, config: dict[str, Any]) -> None:
    torch.manual_seed(0)
    uncertainty = PredictedUncertainty.for_scene(Uncertainty("isotropic", "laplace"), 1.0).state()
    network = StoredNetwork(name, config, network_state(build_network(name, config)), uncertainty)
    runs.save_model(tmp_path / "run", checkpoint(network=network))
    assert main(["export", str(tmp_path / "run"), "--to", "onnx", "--out", str(tmp_path / "out")]) == 0
    localizer = transpose.onnx.load(tmp_path / "out", threads=1)
    theirs = SceneCoordinateLocalizer(checkpoint(network=network), precision="float32")
    for size in ((128, 96), (101, 83)):
        maps = theirs._network.maps(photo(*size))
        cells = theirs._network.coordinates(maps, CAMERA).points_hw3
        assert np.abs(localizer.run(photo(*size))["cells_hwk"][..., :3] - cells).max() < 1e-4
    assert localizer.localize(photo(128, 96)).pose is None


@pytest.mark.parametrize(("kind", "part"), [("matching", "database of photos"), ("pose_regression", "no points")])
def test_what_has_no_counterpart_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, part: str
) -> None:
    runs.save_model(tmp_path / "run", replace(checkpoint(), kind=kind))
    assert main(["export", str(tmp_path / "run"), "--to", "onnx", "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert part in said and "ONNX" in said and not (tmp_path / "out").exists()


def test_the_runtime_needs_no_pytorch(exported: Path, tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(photo()).save(tmp_path / "a.png")
    code = (
        "import sys; sys.modules.update(torch=None, cv2=None, scipy=None, onnx=None)\n"
        "from transpose.onnx.__main__ import main; sys.exit(main())"
    )
    words = [sys.executable, "-c", code, str(exported), str(tmp_path / "a.png")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    line = json.loads(done.stdout)
    assert line["reason"] == "ok" and np.allclose(
        np.array(line["pose"])[:3, 3], ORIGIN + np.array([0.3, -0.2, 0.1]), atol=0.02
    )


def test_the_confidence_is_the_package_s(exported: Path) -> None:
    from transpose.localization.candidates import Candidate as TorchCandidate
    from transpose.onnx.candidate import Candidate, confidence
    from transpose.onnx.solver import Solution
    from transpose.solvers import PoseEstimate

    place = transpose.onnx.load(exported, threads=1).place
    rng = np.random.default_rng(0)
    camera = place.camera
    points_n3 = rng.uniform((-1, -1, 3), (1, 1, 5), (60, 3))
    px_n2, agreeing_n = camera.project(points_n3), rng.random(60) < 0.5
    estimate = PoseEstimate(Pose(np.eye(4)), "ok", agreeing_n, 0.5)
    for guided in (False, True):
        theirs = replace(TorchCandidate.by("landmarks", estimate, points_n3, px_n2), guided=guided)
        ours = Candidate("landmarks", Solution(np.eye(4), agreeing_n, 0.5), px_n2, guided=guided)
        expected = torch_confidence(theirs, camera, place.offsets)
        assert confidence(ours, camera, place) == pytest.approx(expected, abs=1e-9)


def test_bad_input_is_one_clear_error(exported: Path, tmp_path: Path) -> None:
    localizer = transpose.onnx.load(exported, threads=1)
    for image, words in [
        (np.zeros((10, 10), np.uint8), "RGB"),
        (np.zeros((0, 10, 3), np.uint8), "RGB"),
        (np.zeros((100, 100, 3), np.uint8), "focal length"),
    ]:
        with pytest.raises(TransposeError, match=words):
            localizer.localize(image)
    place = tmp_path / "assumed" / "place.json"
    shutil.copytree(exported, place.parent)
    place.write_text(json.dumps(json.loads(place.read_text()) | {"camera_assumed": True}))
    assumed, own = transpose.onnx.load(place.parent, threads=1), localizer.camera
    image_hw3 = np.zeros((own.height, own.width, 3), np.uint8)
    with pytest.raises(TransposeError, match="was assumed"):
        assumed.localize(image_hw3)
    assert localizer.localize(image_hw3).pose is None and assumed.localize(image_hw3, focal_px=own.fx).pose is None
    with pytest.raises(TransposeError, match="does not exist"):
        transpose.onnx.load(tmp_path)
    for name, content, words in [
        ("place.json", b'{"format": 9}', "format"),
        ("place.json", b'{"format": 1}', "damaged"),
        ("model.onnx", b"nothing", "does not load"),
        ("similarity.onnx", b"nothing", "similarity.onnx does not load"),
        ("landmarks.npz", b"nothing", "not a zip file"),
    ]:
        broken = tmp_path / words.replace(" ", "-")
        broken.mkdir()
        for path in exported.iterdir():
            (broken / path.name).write_bytes(content if path.name == name else path.read_bytes())
        with pytest.raises(TransposeError, match=words):
            transpose.onnx.load(broken)


def test_a_photo_that_cannot_be_read_costs_no_other(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    camera = transpose.onnx.load(exported, threads=1).camera
    grey_hw = np.random.default_rng(0).integers(0, 256, (camera.height, camera.width)).astype(np.uint16) * 257
    Image.fromarray(grey_hw).save(tmp_path / "16.png")
    Image.fromarray((grey_hw >> 8).astype(np.uint8)).save(tmp_path / "8.png")
    Image.fromarray(grey_hw.astype(np.float32)).save(tmp_path / "float.tif")
    (tmp_path / "empty.jpg").write_bytes(b"")
    np.testing.assert_array_equal(onnx_command._pixels(tmp_path / "16.png"), onnx_command._pixels(tmp_path / "8.png"))
    photos = [str(tmp_path / name) for name in ("empty.jpg", "float.tif", "8.png")]
    monkeypatch.setattr(sys, "argv", ["transpose.onnx", str(exported), *photos])
    assert onnx_command.main() == 1
    empty, numbers, whole = map(json.loads, capsys.readouterr().out.splitlines())
    assert "cannot be read as an image" in empty["reason"] and "no colours" in numbers["reason"]
    assert whole["reason"] in ("no_consensus", "low_score") and whole["image"] == photos[2]


def test_from_where_landmarks_were_seen_goes_along(run: Path, exported: Path, tmp_path: Path) -> None:
    """Where they were seen from the other side alone, the photo gets no pose by them; older exports do not know."""
    localizer = transpose.onnx.load(exported, threads=1)
    assert localizer.localize(photo()).by == "landmarks"
    assert np.allclose(np.linalg.norm(localizer.place.toward_l3, axis=1), 1, atol=0.02)
    turned = OnnxLocalizer(replace(localizer.place, toward_l3=-localizer.place.toward_l3), localizer._session)
    assert turned.localize(photo()).by != "landmarks"
    for path in exported.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    arrays = dict(np.load(exported / "landmarks.npz"))
    del arrays["toward"]
    np.savez(tmp_path / "landmarks.npz", **arrays)
    older = transpose.onnx.load(tmp_path, threads=1)
    assert not older.place.toward_l3.any() and older.localize(photo()).by == "landmarks"
