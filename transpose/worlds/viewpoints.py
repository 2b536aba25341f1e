"""Where to look at a world from: Latin hypercubes over ranges, and offsets around the poses of a section."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from transpose.errors import TransposeError
from transpose.geometry.cameras import Camera
from transpose.geometry.geodesy import camera_rotations_ned
from transpose.geometry.poses import Pose, compose, exp_so3
from transpose.geometry.turning import turn
from transpose.randomness import derived_seed, stream
from transpose.scenes.layout import Section
from transpose.selection import evenly_chosen
from transpose.worlds.renderer import Renderer, View
from transpose.worlds.world import World

_ROUNDS = 12


@dataclass(frozen=True)
class Viewpoint:
    """A camera at a pose; `stem` names the frame where the name must be kept."""

    camera: Camera
    pose: Pose
    stem: str | None = None


@dataclass(frozen=True)
class ViewCheck:
    """Which views are worth rendering; distances in metres."""

    min_seen: float = 0.6  # fraction of the image that shows the world at all
    min_median_depth_m: float = 0.5
    near_depth_m: float = 0.25
    max_near: float = 0.05  # fraction of the image closer than `near_depth_m`
    max_back: float = 0.25  # fraction that shows the back of a surface: the camera is inside something

    def accepts(self, view: View) -> bool:
        """Whether a (coarse) view passes."""
        depth_n = view.depth_hw[view.seen_hw]
        if len(depth_n) == 0 or view.seen_hw.mean() < self.min_seen or np.median(depth_n) < self.min_median_depth_m:
            return False
        return bool((depth_n < self.near_depth_m).mean() <= self.max_near and view.back_fraction <= self.max_back)


@dataclass(frozen=True)
class NearOffsets:
    """Half widths of the offsets around given poses.

    The position moves along the world's axes; rotations are about the camera's x, y and z axes (pitch, yaw, roll), as
    one rotation vector.
    """

    position_m: float = 0.6
    pitch_deg: float = 25.0
    yaw_deg: float = 40.0
    roll_deg: float = 25.0


@dataclass(frozen=True)
class HypercubeRanges:
    """CrossLoc's ranges: heights over the surface below, and the camera's axis. Yaw 0 looks along +y (north), 90 along
    +x (east); pitch -90 looks straight down."""

    above_m: tuple[float, float] = (30.0, 60.0)
    yaw_deg: tuple[float, float] = (0.0, 360.0)
    pitch_deg: tuple[float, float] = (-90.0, -30.0)
    roll_deg: tuple[float, float] = (-15.0, 15.0)
    margin: float = 0.1  # fraction of the world's extent that is kept free of cameras at each side


def hypercube(dimensions: int, count: int, seed: int, purpose: str) -> np.ndarray:
    """(count, dimensions) in [0, 1): a Latin hypercube sample."""
    from scipy.stats import qmc

    return qmc.LatinHypercube(dimensions, rng=derived_seed(seed, purpose)).random(count)


def rotation_from_angles(yaw_deg: float, pitch_deg: float, roll_deg: float) -> np.ndarray:
    """R_wc (3, 3) of a camera in an east-north-up world; see `HypercubeRanges` for the angles.

    Positive roll turns the camera clockwise about its viewing direction.
    """
    return camera_rotations_ned(np.array([yaw_deg, pitch_deg, roll_deg]))[[1, 0, 2]] * [[1.0], [1.0], [-1.0]]


def near_section(
    renderer: Renderer, section: Section, count: int, seed: int, offsets: NearOffsets, check: ViewCheck
) -> list[Viewpoint]:
    """`count` views at Latin-hypercube offsets around poses of a section, with its intrinsics.

    Raises:
        TransposeError: the world is seen from too few of them.
    """
    cameras = [frame.camera for frame in section.frames]
    poses = [frame.pose for frame in section.frames]
    half_widths_6 = np.array(
        [
            *np.radians([offsets.pitch_deg, offsets.yaw_deg, offsets.roll_deg]),
            *(offsets.position_m,) * 3,
        ]
    )

    def propose(round_: int) -> Iterator[Viewpoint]:
        chosen_n = stream(seed, "near poses", str(round_)).integers(len(poses), size=count)
        xi_n6 = (2 * hypercube(6, count, seed, f"near offsets {round_}") - 1) * half_widths_6
        for index, xi_6 in zip(chosen_n, xi_n6, strict=True):
            pose = poses[index]
            T_wc = compose(pose.R_wc @ exp_so3(xi_6[:3]), pose.center + xi_6[3:])
            yield Viewpoint(cameras[index], Pose(T_wc))

    return accepted_views(renderer, propose, count, check, f"near {section.path}")


def latin_hypercube(
    renderer: Renderer, camera: Camera, count: int, seed: int, ranges: HypercubeRanges, check: ViewCheck
) -> list[Viewpoint]:
    """`count` views spread evenly over position, height above the surface and direction (CrossLoc's sampling).

    Raises:
        TransposeError: z is not up in this world, or too few views see it.
    """
    world = renderer.world
    require_z_up(world, "lhs")
    low, high = camera_area(world)
    margin = ranges.margin * (high - low)

    def propose(round_: int) -> Iterator[Viewpoint]:
        sample_n6 = hypercube(6, count, seed, f"lhs {round_}")
        xy_n2 = low + margin + sample_n6[:, :2] * (high - low - 2 * margin)
        ground_n = ground_height(renderer, xy_n2)
        bounds = np.array([ranges.above_m, ranges.yaw_deg, ranges.pitch_deg, ranges.roll_deg])
        values_n4 = bounds[:, 0] + sample_n6[:, 2:] * (bounds[:, 1] - bounds[:, 0])
        for xy, ground, (above, yaw, pitch, roll) in zip(xy_n2, ground_n, values_n4, strict=True):
            if np.isfinite(ground):
                center = np.array([*xy, ground + above]) + world.origin_3
                yield Viewpoint(camera, Pose(compose(rotation_from_angles(yaw, pitch, roll), center)))

    return accepted_views(renderer, propose, count, check, "in these ranges")


def survey_flight(
    renderer: Renderer, camera: Camera, count: int, seed: int, ranges: HypercubeRanges, check: ViewCheck
) -> list[Viewpoint]:
    """`count` views along a drone's way to and fro over the world, as one flight would take them.

    Height over the surface and the angles wander slowly and smoothly within the ranges, as if the drone kept its
    heading.
    """
    require_z_up(renderer.world, "flight")
    low, high = camera_area(renderer.world)
    margin = ranges.margin * (high - low)
    low, high = low + margin, high - margin
    lanes = max(2, round(np.sqrt(count) / 2))
    rng = stream(seed, "flight")

    def propose(round_: int) -> Iterator[Viewpoint]:
        tried = round(count * (1 + 0.25 * round_))
        along_n = np.linspace(0, lanes, tried, endpoint=False)
        lane_n, way_n = np.floor(along_n), along_n % 1
        x_n = np.where(lane_n % 2 == 0, way_n, 1 - way_n)
        xy_n2 = low + np.stack([x_n, (lane_n + 0.5) / lanes], axis=1) * (high - low)
        xy_n2 += _wander(rng, tried, 2) * 0.15 * (high - low) / lanes
        wander_n4 = _wander(rng, tried, 4)
        above_n, pitch_n, roll_n, yaw_n = (
            np.mean(bounds) + 0.4 * wander_n4[:, i] * (bounds[1] - bounds[0])
            for i, bounds in enumerate((ranges.above_m, ranges.pitch_deg, ranges.roll_deg, ranges.yaw_deg))
        )
        ground_n = ground_height(renderer, xy_n2)
        known_n = np.isfinite(ground_n)
        if not known_n.any():
            return
        # Over a hole the drone keeps between the heights on both sides of it.
        ground_n = _smooth(np.interp(np.arange(tried), np.flatnonzero(known_n), ground_n[known_n]))
        for i in range(tried):
            center = np.array([*xy_n2[i], ground_n[i] + above_n[i]]) + renderer.world.origin_3
            rotation = rotation_from_angles(yaw_n[i], pitch_n[i], roll_n[i])
            yield Viewpoint(camera, Pose(compose(rotation, center)))

    return accepted_views(renderer, propose, count, check, "along the flight", from_start=True)


def require_z_up(world: World, kind: str) -> None:
    """Refuses a world whose z axis is not up, such as one fused from a hand-held camera's frames.

    Args:
        world: where views are wanted.
        kind: of viewpoints, as the command line calls it.

    Raises:
        TransposeError: it is not.
    """
    if not np.allclose(world.up_3, (0, 0, 1), atol=0.02):
        raise TransposeError(f"{kind} viewpoints need a world whose z axis is up; use near:SCENE/SECTION for this one")


def ground_height(renderer: Renderer, xy_n2: np.ndarray) -> np.ndarray:
    """Height (n,) of the surface below places (n, 2), all relative to the world's origin.

    Where a surveyed world has a hole, the plane of its ground stands in; NaN where there is none.
    """
    height_n = renderer.surface_height(xy_n2)
    plane = renderer.world.facts.get("ground", {}).get("plane")
    if plane is not None:
        missing_n = np.isnan(height_n)
        height_n[missing_n] = xy_n2[missing_n] @ np.array(plane[:2]) + plane[2]
    return height_n


def camera_area(world: World) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest x, y where cameras may be: what the world says of itself, else the box around it."""
    if "area_m" in world.facts:
        low, high = np.array(world.facts["area_m"], np.float64)
        return low, high
    low, high = world.bounds
    return low[:2].astype(np.float64), high[:2].astype(np.float64)


def _smooth(values_n: np.ndarray, width: int = 9) -> np.ndarray:
    """A drone does not follow every roof."""
    padded = np.pad(values_n, width // 2, mode="edge")
    return np.convolve(padded, np.full(width, 1 / width), mode="valid")[: len(values_n)]


def _wander(rng: np.random.Generator, count: int, dimensions: int) -> np.ndarray:
    """(count, dimensions) smooth random curves within about [-1, 1]: a few sines of random phase."""
    t_n1 = np.linspace(0, 2 * np.pi, count)[:, None]
    waves = [rng.uniform(0.3, 0.5, dimensions) * np.sin(k * t_n1 + rng.uniform(0, 6.28, dimensions)) for k in (2, 5, 9)]
    return np.clip(sum(waves), -1, 1)


def north_up(viewpoint: Viewpoint) -> Viewpoint:
    """The view with its camera turned about its axis by quarters, so that the top of the image is nearest to north.

    A photo that looks down can be held any way. Localizing turns photos by quarters, so that a fourth of the ways to
    hold a camera is all that needs to be learned.
    """
    turned = (Pose(viewpoint.pose.T_wc @ turn(quarters)) for quarters in range(4))
    return replace(viewpoint, pose=max(turned, key=lambda pose: float(-pose.R_wc[1, 1])))


def at_section(section: Section) -> list[Viewpoint]:
    """The section's own poses, intrinsics and names: what its synthetic twin is rendered from."""
    return [Viewpoint(frame.camera, frame.pose, frame.stem) for frame in section.frames]


def accepted_views(
    renderer: Renderer,
    propose: Callable[[int], Iterator[Viewpoint]],
    count: int,
    check: ViewCheck,
    where: str,
    from_start: bool = False,
) -> list[Viewpoint]:
    """The first `count` proposals that pass.

    With `from_start` each round is a whole of its own, such as a flight: those of one that did not suffice are
    forgotten, and of more than enough some are taken evenly, so that its end is among them.

    Raises:
        TransposeError: too few pass.
    """
    accepted: list[Viewpoint] = []
    tried = backs = 0
    for round_ in range(_ROUNDS):
        if from_start:
            accepted = []
        for viewpoint in propose(round_):
            tried += 1
            view = renderer.glance(viewpoint.camera, viewpoint.pose)
            if check.accepts(view):
                accepted.append(viewpoint)
            elif replace(check, max_back=1.0).accepts(view):
                backs += 1
            if len(accepted) == count and not from_start:
                return accepted
        if len(accepted) >= count:
            return [accepted[i] for i in evenly_chosen(len(accepted), count)]
    raise TransposeError(
        f"only {len(accepted)} of {tried} views {where} see enough of the world "
        f"(at least {check.min_seen:.0%} of the image, not too close, not from inside); "
        + (
            f"{backs} of them show the backs of surfaces: are these inside things, or is the mesh wound the other way?"
            if backs > tried / 2
            else "do section and world share one frame? Smaller offsets, other ranges or --min-seen may help"
        )
    )
