"""`transpose render`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

if TYPE_CHECKING:
    from transpose.geometry.cameras import Camera
    from transpose.worlds.renderer import Renderer
    from transpose.worlds.viewpoints import Viewpoint
    from transpose.worlds.world import World


@dataclass(frozen=True)
class Render:
    """Render labelled views of a world into a section."""

    world: tyro.conf.Positional[Path]
    """The world's folder."""
    out: Path
    """SCENE/SECTION to write."""
    views: int = 960
    """How many views; with at: as many as that section has frames."""
    viewpoints: str = "lhs"
    """lhs: Latin hypercube over the ranges below; flight: a drone's way to and fro within them; near:SCENE/SECTION:
    offsets around that section's poses, with its cameras; at:SCENE/SECTION: exactly its poses, cameras and names."""
    like: Path | None = None
    """SCENE/SECTION whose image size and intrinsics lhs views take."""
    size: tuple[int, int] = (640, 480)
    """Width and height of lhs views without --like."""
    focal: float = 525.0
    """Focal length in pixels of lhs views without --like."""
    above: tuple[float, float] = (30.0, 60.0)
    """lhs: metres over the surface below."""
    yaw: tuple[float, float] = (0.0, 360.0)
    """lhs: degrees, 0 north, 90 east."""
    pitch: tuple[float, float] = (-90.0, -30.0)
    """lhs: degrees, -90 straight down."""
    roll: tuple[float, float] = (-15.0, 15.0)
    """lhs: degrees."""
    margin: float = 0.1
    """lhs and flight: share of the world's extent kept free of cameras at each side."""
    offset: float = 0.6
    """near: metres, each way along each axis."""
    offset_angles: tuple[float, float, float] = (25.0, 40.0, 25.0)
    """near: degrees of pitch, yaw and roll, each way."""
    min_seen: float = 0.6
    """Views that show the world in less than this share of the image are not rendered."""
    min_depth: float = 0.5
    """Views whose median depth is below this many metres are not rendered."""
    appearance: Literal["plain", "photo"] = "plain"
    """plain: colours as they are in the world; photo: simulated sun, shadow, haze, lens and sensor of a later day."""
    appearance_strength: float = 1.0
    """How far from plain a photo is."""
    appearance_seed: int = 5
    """Which day's light and weather a photo gets; 5 has sun and hard shadows."""
    seed: int = 0
    """Of viewpoints and of the sensor's noise."""
    processes: int | None = None
    """As many as there are cores by default."""

    def run(self) -> None:
        """Renders, going on where an equal command was cut off."""
        from transpose.worlds.workers import Workers, preload

        preload()  # first of all: it goes on beside the imports that follow
        from transpose.app.console import progress, say, tell
        from transpose.errors import TransposeError
        from transpose.scenes.layout import split_section_path
        from transpose.worlds.renderer import Renderer
        from transpose.worlds.stage import draw_appearance, render_section
        from transpose.worlds.world import load_world

        if self.views < 1 or not 0 <= self.min_seen <= 1 or min(self.size) < 16 or self.focal <= 0:
            raise TransposeError("--views, --size and --focal must be positive, --min-seen between 0 and 1")
        scene, section = split_section_path(self.out)
        world = load_world(self.world)
        plan = self._plan(world)
        if (self.out / "poses").is_dir() and self._is_done(scene, section, plan):
            tell(f"{self.out} is rendered already")
            say(str(self.out))
            return
        photo = self.appearance == "photo"
        appearance = draw_appearance(self.appearance_seed, self.appearance_strength) if photo else None
        with Workers(self.world, self.processes) as workers:  # they load the world while viewpoints are chosen
            viewpoints = self._viewpoints(Renderer(world))
            tell(f"{len(viewpoints)} views of {world.name}")
            written = render_section(
                workers,
                viewpoints,
                (scene, section),
                plan,
                appearance=appearance,
                seed=self.seed,
                progress=lambda stems, done, total: progress(stems, "rendering", total, done),
            )
        say(str(written))

    def _plan(self, world: World) -> dict[str, Any]:
        """What determines the views: the world, and all flags but where they go and how many processes make them."""
        plan = {k: str(v) if isinstance(v, Path) else v for k, v in dataclasses.asdict(self).items()}
        plan = {
            key: list(v) if isinstance(v, tuple) else v for key, v in plan.items() if key not in ("out", "processes")
        }
        return {**plan, "triangles": len(world.faces_f3), "vertices": len(world.vertices_v3), "facts": world.facts}

    @staticmethod
    def _is_done(scene: Path, section: str, plan: dict[str, Any]) -> bool:
        from transpose.scenes.layout import read_scene_facts

        done = read_scene_facts(scene).get("sections", {}).get(section, {})
        return bool(done.get("plan") == plan)

    def _viewpoints(self, renderer: Renderer) -> list[Viewpoint]:
        from transpose.errors import TransposeError
        from transpose.scenes.layout import open_section
        from transpose.worlds import viewpoints as ways

        check = ways.ViewCheck(min_seen=self.min_seen, min_median_depth_m=self.min_depth)
        kind, _, where = self.viewpoints.partition(":")
        if kind in ("lhs", "flight") and not where:
            ranges = ways.HypercubeRanges(self.above, self.yaw, self.pitch, self.roll, self.margin)
            way = ways.latin_hypercube if kind == "lhs" else ways.survey_flight
            return way(renderer, self._camera(), self.views, self.seed, ranges, check)
        if kind == "near" and where:
            pitch, yaw, roll = self.offset_angles
            offsets = ways.NearOffsets(self.offset, pitch, yaw, roll)
            return ways.near_section(renderer, open_section(Path(where)), self.views, self.seed, offsets, check)
        if kind == "at" and where:
            return ways.at_section(open_section(Path(where)))
        raise TransposeError(
            f"--viewpoints is lhs, flight, near:SCENE/SECTION or at:SCENE/SECTION, not {self.viewpoints}"
        )

    def _camera(self) -> Camera:
        from transpose.geometry.cameras import Camera
        from transpose.scenes.layout import open_section

        if self.like:
            return open_section(self.like).frames[0].camera
        return Camera.from_focal(self.focal, *self.size)
