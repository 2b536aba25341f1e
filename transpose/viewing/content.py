"""What is shown of a place: the world, cameras, estimates and points, as arrays and without a browser."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from transpose.errors import TransposeError, first_few
from transpose.evaluation.frame_log import read_frame_log
from transpose.evaluation.metrics import FrameResult
from transpose.evaluation.testing import result_name
from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose
from transpose.scenes.facts import scene_up
from transpose.scenes.files import image_size
from transpose.scenes.layout import Frame, Section, open_section
from transpose.scenes.unit import METRE, SceneUnit, unit_as_it_is
from transpose.storage import read_json
from transpose.viewing import colors
from transpose.viewing.folders import Chosen
from transpose.viewing.shapes import Ellipsoids, camera_depth, centers, frustum_lines, position_ellipsoids
from transpose.worlds.renderer import Renderer
from transpose.worlds.world import World, load_world

log = logging.getLogger(__name__)
_ROUND = 100.0
_ASKED_VIEWS = 8
_BACKS = 0.2  # of what cameras see: from then on a world's faces are not to be trusted to face outwards


@dataclass(frozen=True)
class CameraGroup:
    """Cameras that are shown and hidden together.

    Attributes:
        name: shown to people.
        frames: of a section, in its order.
        poses: of the frames: true ones, or estimates.
        color: of their outlines.
        results: of each frame, where they were estimated; else empty.
        visible: from the start.
    """

    name: str
    frames: tuple[Frame, ...]
    poses: tuple[Pose, ...]
    color: tuple[int, int, int]
    results: tuple[FrameResult, ...] = ()
    visible: bool = True

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def cameras(self) -> list[Camera]:
        """Of each frame."""
        return [frame.camera for frame in self.frames]


@dataclass(frozen=True)
class Errors:
    """What is known of estimates' errors.

    Attributes:
        lines_n23: from each estimated camera centre to the true one, relative to the scene's origin.
        ellipsoids: of estimates with a covariance: where the camera is with a probability of 90 %.
        refused: how many frames have no pose.
    """

    lines_n23: np.ndarray
    ellipsoids: Ellipsoids
    refused: int


@dataclass(frozen=True)
class Content:
    """A place as it is shown; every position is relative to `origin_3`, so that float32 suffices in a browser.

    Attributes:
        title: shown to people.
        origin_3: in the frame of the scene, float64.
        up_3: unit vector.
        world: None: there is none.
        both_sides: whether the world's faces are to be seen from behind as well.
        groups: cameras.
        errors: of the last group; None: nothing was estimated.
        depth: of the frusta, in the scene's unit.
        sections: that can be measured for coverage: with labels of world points.
        notes: what a person should know, one a line.
    """

    title: str
    origin_3: np.ndarray
    up_3: np.ndarray
    world: World | None
    both_sides: bool
    groups: tuple[CameraGroup, ...]
    errors: Errors | None
    depth: float
    sections: tuple[Section, ...]
    notes: tuple[str, ...]

    def local(self, pose: Pose) -> Pose:
        """A pose relative to the origin."""
        T_wc = pose.T_wc.copy()
        T_wc[:3, 3] -= self.origin_3
        return Pose(T_wc)

    def lines_of(self, group: CameraGroup) -> np.ndarray:
        """Outlines of a group's cameras, (n, 10, 2, 3)."""
        return frustum_lines(group.cameras, group.poses, self.origin_3, self.depth)

    @property
    def centers_n3(self) -> np.ndarray:
        """Of all cameras that are shown from the start."""
        return centers([pose for group in self.groups if group.visible for pose in group.poses], self.origin_3)


def read_content(chosen: Chosen, renderer: Renderer | None = None) -> Content:
    """Reads what is shown.

    Args:
        chosen: of `folders.choose`.
        renderer: of the chosen world, where there is one already.

    Raises:
        TransposeError: a folder is broken.
    """
    world = renderer.world if renderer else load_world(chosen.world) if chosen.world else None
    sections = [open_section(chosen.scene / name) for name in chosen.sections] if chosen.scene else []
    tested = _tested(chosen, sections)
    groups = [_section_group(section, number, tested) for number, section in enumerate(sections)]
    estimated = None if tested is None or chosen.results is None else _estimates(chosen.results, tested)
    if estimated is not None:
        groups.append(estimated)
    origin_3 = _origin(world, groups)
    centers_n3 = centers([pose for group in groups for pose in group.poses], origin_3)
    return Content(
        title=_title(chosen, world),
        origin_3=origin_3,
        up_3=_up(chosen.scene, world),
        world=world,
        both_sides=renderer is not None and _backs_are_seen(renderer, groups),
        groups=tuple(groups),
        errors=None if estimated is None else _errors(estimated, origin_3),
        depth=camera_depth(centers_n3, None if world is None else world.bounds),
        sections=tuple(section for section in sections if section.has("depth") or section.has("init")),
        notes=chosen.notes,
    )


def _section_group(section: Section, number: int, tested: Section | None) -> CameraGroup:
    """Cameras of a section; where another one was tested, they would hide its estimates and wait to be asked for."""
    color = colors.SECTION_COLORS[number % len(colors.SECTION_COLORS)]
    frames = tuple(frame for frame in section.frames if _has_image(frame))
    poses = tuple(frame.pose for frame in frames)
    return CameraGroup(section.name, frames, poses, color, visible=tested is None or section is tested)


def _has_image(frame: Frame) -> bool:
    """Whether its image is one, by its header; of one that is broken a line is said, and it is not shown."""
    try:
        image_size(frame.paths["rgb"])
    except TransposeError as error:
        log.warning("%s; it is not shown", error)
        return False
    return True


def _tested(chosen: Chosen, sections: list[Section]) -> Section | None:
    """The section that the results are of, if it is shown.

    Raises:
        TransposeError: the results are of another section.
    """
    if chosen.results is None or not sections:
        return None
    for section in sections:
        if (chosen.results / f"frames_{result_name(section)}.jsonl").is_file():
            return section
    logs = [path.name for path in sorted(chosen.results.glob("frames_*.jsonl"))]
    raise TransposeError(
        f"{chosen.results} holds no results of {', '.join(section.name for section in sections)} of {chosen.scene} "
        f"(it holds {first_few(logs) or 'no frames_*.jsonl; test again'}); name the tested one: --scene SCENE/SECTION"
    )


def _estimates(folder: Path, section: Section) -> CameraGroup:
    """Of the section that was tested; frames without a pose are in its results alone."""
    unit = METRE if section.facts.metric else _told_unit(folder, section)
    results = {result.stem: result for result in read_frame_log(folder, section, unit)}
    posed = [
        (frame, results[frame.stem], pose)
        for frame in section.frames
        if frame.stem in results and (pose := results[frame.stem].estimate.pose) is not None
    ]
    lost = [result for result in results.values() if result.estimate.pose is None]
    return CameraGroup(
        f"estimates of {section.name}",
        tuple(frame for frame, _, _ in posed),
        tuple(pose for _, _, pose in posed),
        colors.ESTIMATE,
        (*(result for _, result, _ in posed), *lost),
    )


def _told_unit(folder: Path, section: Section) -> SceneUnit:
    """The unit in which a test told its errors: per cent of the extent of the cameras that its run learned from."""
    unit, table = unit_as_it_is(section), folder / "results.json"
    told = read_json(table) if table.exists() else {}
    extent = told.get("extent") if isinstance(told, dict) else None
    return replace(unit, extent=float(extent)) if isinstance(extent, int | float) and extent > 0 else unit


def _errors(group: CameraGroup, origin_3: np.ndarray) -> Errors:
    posed = group.results[: len(group)]
    lines_n23 = np.stack([centers(group.poses, origin_3), centers([r.truth for r in posed], origin_3)], 1)
    known = [r.estimate for r in posed if r.estimate.covariance_66 is not None]
    covariances_n66 = np.array([each.covariance_66 for each in known], np.float64).reshape(-1, 6, 6)
    ellipsoids = position_ellipsoids([each.pose for each in known if each.pose], covariances_n66, origin_3)
    return Errors(lines_n23, ellipsoids, len(group.results) - len(posed))


def _origin(world: World | None, groups: list[CameraGroup]) -> np.ndarray:
    """The world's, which its vertices are relative to; else a round place among the cameras."""
    if world is not None:
        return np.asarray(world.origin_3, np.float64)
    if not any(map(len, groups)):
        return np.zeros(3)
    middle_3 = np.median(centers([pose for group in groups for pose in group.poses], np.zeros(3)), axis=0)
    return np.asarray(np.round(middle_3 / _ROUND) * _ROUND)


def _up(scene: Path | None, world: World | None) -> np.ndarray:
    """The world's, else the scene's, else z."""
    if world is not None:
        return np.asarray(world.up_3 / np.linalg.norm(world.up_3))
    told_3 = None if scene is None else scene_up(scene)
    return np.array([0.0, 0.0, 1.0]) if told_3 is None else told_3


def _backs_are_seen(renderer: Renderer, groups: list[CameraGroup]) -> bool:
    """Whether cameras see the backs of faces, as of a scan whose triangles face any way."""
    from transpose.selection import evenly_chosen

    shown = [(frame, pose) for group in groups for frame, pose in zip(group.frames, group.poses, strict=True)]
    views = [renderer.glance(*_seen(shown[i])) for i in evenly_chosen(len(shown), _ASKED_VIEWS)]
    return bool(views) and float(np.mean([view.back_fraction for view in views])) > _BACKS


def _seen(shown: tuple[Frame, Pose]) -> tuple[Camera, Pose]:
    return shown[0].camera, shown[1]


def _title(chosen: Chosen, world: World | None) -> str:
    if chosen.scene is not None:
        return chosen.scene.resolve().name
    if world is not None:
        return world.name
    return (chosen.run or chosen.results or Path()).resolve().name
