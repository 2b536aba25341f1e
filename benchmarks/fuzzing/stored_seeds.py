"""Readers of what TransPose itself keeps, worlds, runs and results, and of others' networks, features and archives."""

from __future__ import annotations

import dataclasses
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fuzzing import seeds
from fuzzing.sandbox import Files, Reader
from transpose import localization, runs
from transpose.errors import TransposeError
from transpose.evaluation.benchmark_record import read_record
from transpose.evaluation.frame_log import read_frame_log
from transpose.evaluation.maps import read_saved_map
from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose
from transpose.models import published
from transpose.models.adapter import Adapter, AdapterConfig
from transpose.models.adapter_file import load_adapter, save_adapter
from transpose.models.dsacstar import DsacStarConfig, DsacStarEncoder
from transpose.models.networks import build_network, network_state
from transpose.runs import Calibration, Checkpoint, LearnedCamera, StoredNetwork
from transpose.runs.serial import to_plain
from transpose.scenes.facts import FOREIGN
from transpose.scenes.hloc.features import read_features, read_global_descriptors
from transpose.scenes.hloc.lists import read_pairs, read_results
from transpose.scenes.hloc.matches import read_matches
from transpose.scenes.layout import Frame, Section
from transpose.scenes.setup.archives import unpack
from transpose.scenes.setup.swiss import unpacked
from transpose.scenes.unit import METRE
from transpose.training.conversion import read_published
from transpose.worlds.world import load_world, read_metadata, save_world, vertex_colored_world

_CAMERA = Camera.from_focal(20.0, 16, 12)


def _folder_files(folder: Path) -> Files:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def _worlds(folder: Path) -> list[Files]:
    places = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float32)
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    plain = vertex_colored_world("x", places, faces, np.full((4, 3), 99, np.uint8), facts={"crs": None})
    dressed = dataclasses.replace(
        plain, textures=(seeds.PICTURE_HW3,), face_texture_f=np.zeros(2, np.int32), face_class_f=np.ones(2, np.uint8),
        class_names=("sky", "ground"),
    )  # fmt: skip
    return [_folder_files(save_world(world, folder / f"world{n}")) for n, world in enumerate((plain, dressed))]


def _read_world(folder: Path) -> None:
    world = load_world(folder)
    _ = world.bounds, world.has_classes
    read_metadata(folder)


def _head() -> StoredNetwork:
    config = {"in_channels": 64, "width": 4, "blocks": 0, "anchors": 2, "uncertainty_channels": 1}
    uncertainty = {"kind": "isotropic", "tail": "gaussian", "dof": 5.0, "log_bounds": [-5.0, 5.0]}
    with torch.random.fork_rng():
        return StoredNetwork("fast", config, network_state(build_network("fast", config)), uncertainty)


def _checkpoint(**more: Any) -> dict[str, Any]:
    calibration = Calibration(1.0, 0.05, {"landmarks": 2.0})
    said = {"network": None, "calibration": calibration, "height": 96, **more}
    camera = LearnedCamera(_CAMERA, "rendered")
    return to_plain(Checkpoint("scene_coordinates", origin_3=np.zeros(3), camera=camera, **said))


def _runs(_: Path) -> list[Files]:
    landmarks = {"points": torch.zeros(4, 3), "descriptors": torch.ones(4, 64, dtype=torch.int8)}
    log = b'{"step": 1, "loss": 0.5}\n{"step": 2}\n'
    network = StoredNetwork(
        "fast", {"width": 4}, {"head.last.weight": torch.zeros(2, 4)}, {"kind": "none", "tail": "gaussian"}
    )
    kinds = (_checkpoint(network=network, landmarks=landmarks), _checkpoint(database={"vectors": torch.zeros(2, 4)}))
    state = {"step": 2, "model": {"a": torch.zeros(3)}}
    return [{"model.pt": seeds.pt(each), "state.pt": seeds.pt(state), "log.jsonl": log} for each in kinds]


def _read_run(folder: Path) -> None:
    runs.load_model(folder)
    runs.load_state(folder)
    runs.read_log(folder)


def _localizers(_: Path) -> list[Files]:
    landmarks = {"points": torch.zeros(4, 3), "descriptors": torch.ones(4, 64, dtype=torch.int8)}
    plain = _checkpoint(network=_head(), landmarks=landmarks)
    return [{"model.pt": seeds.pt(plain)}]


def _read_localizer(folder: Path) -> None:
    localization.load(folder)


def _foreign(_: Path) -> list[Files]:
    with torch.device("meta"):
        encoder = DsacStarEncoder(DsacStarConfig().widths, 512)
    few = {name: torch.zeros([min(side, 2) for side in value.shape]) for name, value in encoder.state_dict().items()}
    few |= {"fc3.weight": torch.zeros(4, 2, 1, 1), "mean": torch.zeros(3), "encoder.norm1.weight": torch.ones(2)}
    wrapped = {f"module.{name}": value for name, value in few.items()}
    return [{"a.net": seeds.pt(few)}, {"a.net": seeds.pt(wrapped, True)}]


def _read_foreign(folder: Path) -> None:
    """No such small network is one of theirs: that it is refused is what whole files come to."""
    path = folder / "a.net"
    runs.load_foreign(path)
    with suppress(TransposeError):
        read_published(path, published.ace_encoder)
    with suppress(TransposeError):
        read_published(path, published.dsacstar)


def _adapters(folder: Path) -> list[Files]:
    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng():
        save_adapter(folder / "a.pt", Adapter(AdapterConfig(width=4)), {"trained_on": "x"})
    return [{"a.pt": (folder / "a.pt").read_bytes()}]


def _features(folder: Path) -> list[Files]:
    rng = np.random.default_rng(0)
    one = {
        "keypoints": rng.random((3, 2)),
        "descriptors": rng.random((4, 3)).astype(np.float16),
        "scores": rng.random(3),
    }
    groups = {name: {**one, "image_size": np.array([16, 12])} for name in ("a.jpg", "x/b.jpg")}
    vectors = {name: {"global_descriptor": np.ones(4, np.float32)} for name in groups}
    pairs = {"a.jpg/x-b.jpg": {"matches0": np.array([0, -1, 2], np.int16), "matching_scores0": np.ones(3, np.float16)}}
    return [
        {
            f"{name}.h5": seeds.h5_file(folder / f"{name}{n}.h5", held, libver)
            for name, held in (("features", groups), ("global", vectors), ("matches", pairs))
        }
        for n, libver in enumerate(("latest", "earliest"))
    ]


def _read_h5(folder: Path) -> None:
    names = ("a.jpg", "x/b.jpg")
    counts = {name: len(each) for name, each in read_features(folder / "features.h5").items()}
    read_global_descriptors(folder / "global.h5", names)
    read_matches(folder / "matches.h5", [names], counts if counts.keys() >= set(names) else None)


def _hloc_lists(_: Path) -> list[Files]:
    return [
        {"pairs.txt": b"a.jpg b.jpg\na.jpg c.jpg\n", "results.txt": b"a.jpg 1 0 0 0 1 2 3\nb.jpg 0.7 0 0.7 0 1 2 3\n"}
    ]


def _read_hloc_lists(folder: Path) -> None:
    read_pairs(folder / "pairs.txt", ("a.jpg", "b.jpg", "c.jpg"))
    read_results(folder / "results.txt")


def _archives(_: Path) -> list[Files]:
    inner = {"a_dot_txt": b"x" * 50, "seq__b_dot_txt": b"y"}
    return [{"a.zip": seeds.archive(**inner)}, {"a.zip": seeds.archive(0, tile_dot_las=b"LASF" + bytes(40))}]


def _read_archive(folder: Path) -> None:
    unpack(folder / "a.zip", folder / "out")


def _read_tile(folder: Path) -> None:
    unpacked(folder / "a.zip")


def _tile_archives(_: Path) -> list[Files]:
    return [{"a.zip": seeds.archive(packing, tile_dot_las=b"LASF" + bytes(40))} for packing in (0, 8)]


def _saved_maps(_: Path) -> list[Files]:
    held = {
        "pose": np.eye(4), "pose_true": np.eye(4), "covariance": np.eye(6), "reason": np.array("ok"), "score": 0.5,
        "inlier_mask": np.ones((2, 2), bool), "iterations": 5, "seconds": 0.1, "image": np.array("a.png"),
        "coordinates": np.zeros((2, 2, 3)), "sigma": np.ones((2, 2)), "truth": np.zeros((2, 2, 3)), "metric": True,
        "extent": 3.0,
    }  # fmt: skip
    return [{"a.npz": seeds.npz(**held)}]


def _results(_: Path) -> list[Files]:
    entry = {
        "frame": "a",
        "pose": np.eye(4).tolist(),
        "covariance": None,
        "reason": "ok",
        "inliers": 9,
        "score": 0.5,
        "by": "x",
    }
    record = {"inputs": {}, "failed": None, "learned": "x", "truth": "x", "machine": "x", "commands": ["x"]}
    log = "".join(json.dumps({**entry, "seconds": 0.1, "frame": frame}) + "\n" for frame in ("a", "b"))
    return [{"frames_scene_s.jsonl": log.encode(), "row.json": json.dumps(record).encode()}]


def _read_results(folder: Path) -> None:
    frames = tuple(_Frame(stem, {}) for stem in ("a", "b"))
    read_frame_log(folder, Section(Path("scene/s"), frames, FOREIGN), METRE)
    read_record(folder)


class _Frame(Frame):
    """A frame whose true pose and camera need no file."""

    @property
    def camera(self) -> Camera:  # type: ignore[override]
        return _CAMERA

    @property
    def pose(self) -> Pose:  # type: ignore[override]
        return Pose(np.eye(4))


STORED_READERS = (
    Reader("world folder", _worlds, _read_world),
    Reader("run folder", _runs, _read_run),
    Reader("localizer of a run", _localizers, _read_localizer, share=0.02),
    Reader("checkpoints of others", _foreign, _read_foreign, share=0.1),
    Reader("adapter", _adapters, lambda folder: load_adapter(folder / "a.pt")),
    Reader("hloc's features and matches (h5)", _features, _read_h5),
    Reader("hloc's lists", _hloc_lists, _read_hloc_lists),
    Reader("archives (ZIP)", _archives, _read_archive),
    Reader("swisstopo's archives (ZIP)", _tile_archives, _read_tile),
    Reader("results of a test", _results, _read_results),
    Reader("saved maps (npz)", _saved_maps, lambda folder: read_saved_map(folder / "a.npz")),
)
