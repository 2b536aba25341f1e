"""CrossLoc's benchmark (Yan et al., CVPR 2022) from raw TOPO-DataGen output: Urbanscape and Naturescape.

A release has `SCENE-LHS/` and `matching/NAME-{sim,real}`; names that hold `outofplace` or `winter` are splits of their
own. A bare TOPO-DataGen folder is one sequence, split into training and validation.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from transpose.errors import TransposeError
from transpose.geometry.geodesy import ecef_from_geodetic
from transpose.randomness import stream
from transpose.scenes import files
from transpose.scenes.layout import Section, open_section
from transpose.scenes.setup.topo import TopoFrame, read_labels, read_sequence
from transpose.scenes.writer import SectionWriter
from transpose.storage import replacing_file

log = logging.getLogger(__name__)
# Longitude, latitude and ellipsoidal height of the scenes' origins (CrossLoc-Benchmark-Datasets).
ORIGINS = {"epfl": (6.5668, 46.5191, 390.0), "comballaz": (7.065, 46.3705, 1410.0)}
_LHS_SHARES = {"train": 0.9, "val": 0.1}
_DRONE_SHARES = {"train": 0.4, "val": 0.1, "test": 0.5}
_CHUNKS = (0.25, 0.5, 0.75)
_SEED = 2021
_MAX_REPROJECTION_PX = 5.0
_LEAST_KNOWN = 0.25
_IMAGES = (".png", ".jpg", ".jpeg")
Progress = Callable[[Sequence[TopoFrame], str], Iterable[TopoFrame]]


@dataclass(frozen=True)
class _Group:
    """Sequences split together: `drone`, `oop_drone` or `winter_drone`; real photos by the stem of their twin."""

    name: str
    frames: list[TopoFrame]
    real: dict[str, Path]


@dataclass(frozen=True)
class CrossLocSetup:
    """How a release is set up.

    Attributes:
        dataset: "epfl" or "comballaz": which origin coordinates are about.
        source: the release, or one TOPO-DataGen sequence.
        out: the scene folder.
        copy: files that sections share are copied, not linked.
        progress: wraps the frames of a section as they are worked through.
    """

    dataset: str
    source: Path
    out: Path
    copy: bool = False
    progress: Progress = lambda frames, _: frames

    @property
    def origin_ecef_3(self) -> np.ndarray:
        """In ECEF, metres."""
        return ecef_from_geodetic(np.array(ORIGINS[self.dataset]))

    def run(self) -> list[Path]:
        """Sets up all sections that the source has; those that are there stay as they are.

        Raises:
            TransposeError: the source is neither a release nor a sequence, or is broken.
        """
        if any(self.source.glob("*_poses.npy")):
            frames = read_sequence(self.source, self.origin_ecef_3)
            return self._split_renders(frames, "lhs", _LHS_SHARES, "{}_sim")
        lhs = sorted(p for p in self.source.glob("*-LHS") if p.is_dir())
        groups = self._groups()
        if not lhs and not groups:
            raise TransposeError(
                f"{self.source} holds neither *_poses.npy (a sequence) nor *-LHS/ or matching/ (a release)"
            )
        written = []
        for folder in lhs:
            frames = read_sequence(folder, self.origin_ecef_3)
            written += self._split_renders(frames, "lhs", _LHS_SHARES, "{}_sim")
        for group in groups:
            written += self._split_renders(group.frames, group.name, _DRONE_SHARES, "{}_" + group.name + "_sim")
            written += self._real_sections(group)
            written += self._chunks(group)
        return written + self._unions()

    def _groups(self) -> list[_Group]:
        folder = self.source / "matching"
        groups: dict[str, _Group] = {}
        for sim in sorted(folder.glob("*-sim")) if folder.is_dir() else []:
            name = "oop_drone" if "outofplace" in sim.name else "winter_drone" if "winter" in sim.name else "drone"
            group = groups.setdefault(name, _Group(name, [], {}))
            frames = read_sequence(sim, self.origin_ecef_3, prefix=f"{sim.name.removesuffix('-sim')}-")
            group.frames.extend(frames)
            real = sim.with_name(sim.name.removesuffix("-sim") + "-real")
            if real.is_dir():
                photos = sorted(p for p in real.iterdir() if p.suffix.lower() in _IMAGES)
                if len(photos) != len(frames):
                    raise TransposeError(
                        f"{real} has {len(photos)} photos, {sim} {len(frames)} renders; they are matched by order"
                    )
                group.real.update(zip((frame.stem for frame in frames), photos, strict=True))
        return list(groups.values())

    def _split_renders(self, frames: list[TopoFrame], group: str, shares: dict[str, float], pattern: str) -> list[Path]:
        split = self._split(frames, group, shares)
        return [
            self._render_section([f for f in frames if split[f.stem] == part], pattern.format(part)) for part in shares
        ]

    def _split(self, frames: list[TopoFrame], group: str, shares: dict[str, float]) -> dict[str, str]:
        """Which part each stem belongs to: as `DATASET_GROUP_split.txt` of the source says, else at random."""
        path = self.source / f"{self.dataset}_{group}_split.txt"
        stems = [frame.stem for frame in frames]
        if path.is_file():
            split = dict(line.split()[:2] for line in path.read_text().splitlines() if len(line.split()) >= 2)
            if lost := [stem for stem in stems if split.get(stem) not in shares]:
                raise TransposeError(f"{path} does not say whether {lost[0]} is {', '.join(shares)}")
        else:
            order = stream(_SEED, self.dataset, group).permutation(len(stems))
            ends = np.cumsum([share * len(stems) for share in shares.values()]).round().astype(int)
            part_n = np.searchsorted(ends, np.arange(len(stems)), side="right").clip(0, len(shares) - 1)
            names = list(shares)
            split = {stems[which]: names[part] for which, part in zip(order, part_n, strict=True)}
        self.out.mkdir(parents=True, exist_ok=True)
        with replacing_file(self.out / path.name) as temporary:
            temporary.write_text("".join(f"{stem} {split[stem]}\n" for stem in stems))
        return split

    def _render_section(self, frames: list[TopoFrame], name: str) -> Path:
        if (self.out / name).is_dir():
            log.info("%s is set up already", self.out / name)
            return self.out / name
        writer = SectionWriter(self.out, name, self._plan(name), depth_as_png=False)
        dropped = 0
        for frame in self.progress(frames, name):
            if writer.is_done(frame.stem):
                continue
            found = read_labels(frame, self.origin_ecef_3)
            if found.known < _LEAST_KNOWN or found.reprojection_px > _MAX_REPROJECTION_PX:
                dropped += 1
                continue
            files.image_size(frame.image)
            writer.add(frame.stem, frame.image, frame.pose, found.camera, found.labels)
        if dropped:
            log.info("%s: %d frames show too little, or points that are not where they are seen", name, dropped)
        facts = {
            "source": f"{self.dataset}:{self.source.resolve().name}",
            "dropped": dropped,
            "rendered_from": "swisstopo",
        }
        return writer.finish(facts, origin={"lon_lat_height": ORIGINS[self.dataset], "axes": "ECEF"})

    def _real_sections(self, group: _Group) -> list[Path]:
        """Photos with the labels and poses of the renders at their poses."""
        if not group.real:
            return []
        sections = []
        for part in _DRONE_SHARES:
            twin = open_section(self.out / f"{part}_{group.name}_sim")
            name = f"{part}_{group.name}_real"
            paths = {f.stem: {**f.paths, "rgb": group.real[f.stem]} for f in twin.frames}
            sections.append(self._linked(name, paths, {"labels": f"of {twin.name}"}))
        return sections

    def _chunks(self, group: _Group) -> list[Path]:
        """Nested parts of the training sections, to see what fewer photos do."""
        sections = []
        for kind in ("real", "sim"):
            whole = self.out / f"train_{group.name}_{kind}"
            if not whole.is_dir():
                continue
            frames = open_section(whole).frames
            order = stream(_SEED, self.dataset, group.name, "chunks").permutation(len(frames))
            for share in _CHUNKS:
                some = sorted(order[: max(1, round(share * len(frames)))])
                paths = {frames[i].stem: frames[i].paths for i in some}
                sections.append(self._linked(f"{whole.name}_chunk_{share:.2f}", paths, {"part_of": whole.name}))
        return sections

    def _unions(self) -> list[Path]:
        """The Latin hypercube's training renders together with those of flights."""
        sections = []
        for name in ("drone", "oop_drone"):
            parts = [self.out / "train_sim", self.out / f"train_{name}_sim"]
            if all(part.is_dir() for part in parts):
                opened: list[Section] = [open_section(part) for part in parts]
                paths = {frame.stem: frame.paths for section in opened for frame in section.frames}
                facts = {"part_of": " and ".join(part.name for part in parts), "rendered_from": "swisstopo"}
                sections.append(self._linked(f"train_sim_plus_{name}_sim", paths, facts))
        return sections

    def _linked(self, name: str, paths: dict[str, dict[str, Path]], facts: dict[str, str]) -> Path:
        if (self.out / name).is_dir():
            return self.out / name
        writer = SectionWriter(self.out, name, self._plan(name), depth_as_png=False)
        for stem, each in paths.items():
            writer.link(stem, each, self.copy)
        return writer.finish({"source": f"{self.dataset}:{self.source.resolve().name}", **facts})

    def _plan(self, name: str) -> dict[str, str]:
        return {"setup": self.dataset, "source": str(self.source), "section": name}
