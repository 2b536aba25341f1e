"""CrossLoc's benchmark (Yan et al., CVPR 2022) from raw TOPO-DataGen output: Urbanscape and Naturescape.

A release has `SCENE-LHS/` and, at any depth below `matching/`, sequences `NAME-sim` with photos `NAME-real`; names that
hold `outofplace` or `winter` are groups of their own. A bare TOPO-DataGen folder is one sequence, split into training
and validation.
"""

from __future__ import annotations

import logging
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from transpose.errors import TransposeError
from transpose.geometry.geodesy import ecef_from_geodetic, ned_axes
from transpose.parallel import worker_count
from transpose.scenes.facts import read_section_facts
from transpose.scenes.layout import open_section
from transpose.scenes.setup import crossloc_splits as splits
from transpose.scenes.setup.crossloc_photos import paired_photos
from transpose.scenes.setup.topo import TopoFrame, read_labels, read_sequence
from transpose.scenes.writer import SectionWriter, complete

log = logging.getLogger(__name__)
# Longitude, latitude and ellipsoidal height of the scenes' origins (CrossLoc-Benchmark-Datasets).
ORIGINS = {"epfl": (6.5668, 46.5191, 390.0), "comballaz": (7.065, 46.3705, 1410.0)}
_MAX_REPROJECTION_PX = 5.0
_LEAST_KNOWN = 0.25
_WORLD = "swisstopo"
Progress = Callable[[Sequence[TopoFrame], str], Iterable[TopoFrame]]


@dataclass(frozen=True)
class _Group:
    """Sequences split together: `lhs`, `drone`, `oop_drone` or `winter_drone`; photos by the stem of their twin."""

    name: str
    frames: list[TopoFrame]
    photos: dict[str, Path]

    def section(self, part: str, kind: str) -> str:
        """The name of a section: `train_sim` of the Latin hypercube, `train_drone_real` of a flight."""
        return f"{part}_{kind}" if self.name == "lhs" else f"{part}_{self.name}_{kind}"


@dataclass(frozen=True)
class CrossLocRelease:
    """A release, and how it is set up.

    Attributes:
        dataset: "epfl" or "comballaz": which origin coordinates are about.
        source: the release, a folder that holds it, or one TOPO-DataGen sequence.
        out: the scene folder.
        copy: files that exist are copied, not linked.
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
        """Sets up all sections that the source has; those that were set up from the same frames stay as they are.

        Raises:
            TransposeError: the source is neither a release nor a sequence, or is broken.
        """
        groups = self._groups()
        stems_of = {group.name: [frame.stem for frame in group.frames] for group in groups}
        split_of = splits.drawn(self.dataset, stems_of)
        for name, stems in stems_of.items():
            split_of[name] = splits.recorded({self.source, self._root}, self.dataset, name, stems) or split_of[name]
            splits.record(self.out, self.dataset, name, split_of[name])
        written = []
        for group in groups:
            for part, stems in split_of[group.name].items():
                written += self._part(group, part, stems)
        return written + self._unions()

    @property
    def _root(self) -> Path:
        """The folder that holds a sequence, `*-LHS` or `matching`: the source, or one folder in it."""
        if not self.source.is_dir():
            raise TransposeError(f"{self.source} is not a folder")
        if any(self.source.glob("[!.]*_poses.npy")):
            return self.source
        for root in (self.source, *sorted(path for path in self.source.iterdir() if path.is_dir())):
            if any(root.glob("[!.]*-LHS")) or (root / "matching").is_dir():
                return root
        raise TransposeError(
            f"{self.source} holds neither *_poses.npy (a sequence) nor *-LHS/ or matching/ (a release)"
        )

    def _groups(self) -> list[_Group]:
        root = self._root
        if any(root.glob("[!.]*_poses.npy")):
            return [_Group("lhs", read_sequence(root, self.origin_ecef_3), {})]
        groups: dict[str, _Group] = {}
        for folder in sorted(root.glob("[!.]*-LHS")):
            frames = groups.setdefault("lhs", _Group("lhs", [], {})).frames
            frames.extend(read_sequence(folder, self.origin_ecef_3))
        for sim in sorted({path.parent for path in (root / "matching").rglob("[!.]*_poses.npy")}):
            name = _group_of(sim)
            if name not in splits.PUBLISHED[self.dataset]:
                raise TransposeError(f"{sim} is of a group that {self.dataset} does not have ({name})")
            frames, photos = (
                read_sequence(sim, self.origin_ecef_3),
                sim.with_name(sim.name.removesuffix("-sim") + "-real"),
            )
            group = groups.setdefault(name, _Group(name, [], {}))
            group.frames.extend(frames)
            if photos.is_dir():
                group.photos.update(paired_photos(photos, frames))
        for name, group in groups.items():
            if group.photos and len(group.photos) < len(group.frames):
                raise TransposeError(
                    f"{root / 'matching'}: some sequences of {name} have photos (-real) and others have none"
                )
        _refuse_same_names(groups.values())
        return list(groups.values())

    def _part(self, group: _Group, part: str, stems: list[str]) -> list[Path]:
        """The sections of one part of a group: renders, photos, and chunks of both where there is training on them."""
        wanted = set(stems)
        sim = self._renders([frame for frame in group.frames if frame.stem in wanted], group.section(part, "sim"))
        written = [sim]
        if group.photos:
            name = group.section(part, "real")
            paths = {f.stem: {**f.paths, "rgb": group.photos[f.stem]} for f in open_section(sim).frames}
            written.append(self._linked(name, paths, {"labels": f"of {sim.name}"}, rendered=False))
        if part == "train":
            for whole in list(written):
                for share in splits.CHUNKS:
                    chunk = set(splits.chunk(stems, share))
                    written.append(self._part_of([whole], f"{whole.name}_chunk_{share:.2f}", chunk))
        return written

    def _renders(self, frames: list[TopoFrame], name: str) -> Path:
        plan = self._plan(name, [frame.stem for frame in frames])
        if self._is_there(name, plan):
            return self.out / name
        writer = SectionWriter(self.out, name, plan, depth_as_png=False)
        todo = [frame for frame in frames if not writer.is_done(frame.stem)]
        with ThreadPoolExecutor(worker_count()) as pool:
            try:
                kept = pool.map(lambda frame: self._write(writer, frame), todo)
                dropped = sum(not good for _, good in zip(self.progress(todo, name), kept, strict=True))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        if dropped:
            log.info("%s: %d frames show too little, or points that are not where they are seen", name, dropped)
        if dropped == len(frames):
            raise TransposeError(
                f"{name}: none of {len(frames)} frames is good: less than a quarter of the pixels are known, or their "
                f"points project more than {_MAX_REPROJECTION_PX:.0f} px from where they are seen"
            )
        facts = {**self._facts(plan), "dropped": dropped, "rendered_from": _WORLD}
        return writer.finish(
            facts,
            rendered=True,
            origin=self.origin_ecef_3.tolist(),
            origin_lon_lat_height=ORIGINS[self.dataset],
            crs="EPSG:4978",
            up=(-ned_axes(np.array(ORIGINS[self.dataset][:2]))[:, 2]).tolist(),
        )

    def _write(self, writer: SectionWriter, frame: TopoFrame) -> bool:
        """Whether a frame was good enough to be written."""
        found = read_labels(frame, self.origin_ecef_3)
        good = found.known >= _LEAST_KNOWN and found.reprojection_px <= _MAX_REPROJECTION_PX
        if good:
            writer.add(frame.stem, frame.image, frame.pose, found.camera, found.labels, link_image=not self.copy)
        return good

    def _unions(self) -> list[Path]:
        """The Latin hypercube's training renders together with those of flights."""
        sections = []
        for name in ("drone", "oop_drone"):
            parts = [self.out / "train_sim", self.out / f"train_{name}_sim"]
            if all(part.is_dir() for part in parts):
                sections.append(self._part_of(parts, f"train_sim_plus_{name}_sim"))
        return sections

    def _linked(self, name: str, paths: dict[str, dict[str, Path]], facts: dict[str, str], rendered: bool) -> Path:
        plan = self._plan(name, list(paths))
        if self._is_there(name, plan):
            return self.out / name
        writer = SectionWriter(self.out, name, plan, depth_as_png=False)
        for stem, each in paths.items():
            writer.link(stem, each, self.copy)
        return writer.finish({**self._facts(plan), **facts}, rendered=rendered)

    def _part_of(self, parts: list[Path], name: str, stems: set[str] | None = None) -> Path:
        """A section of frames of others, all or those named; of renders where all of those are."""
        opened = [open_section(part) for part in parts]
        frames = [frame for section in opened for frame in section.frames if stems is None or frame.stem in stems]
        rendered = all(section.facts.rendered for section in opened)
        facts = {"part_of": " and ".join(part.name for part in parts)}
        if rendered:
            facts["rendered_from"] = _WORLD
        return self._linked(name, {frame.stem: frame.paths for frame in frames}, facts, rendered)

    def _plan(self, name: str, stems: list[str]) -> dict[str, Any]:
        return {
            "setup": self.dataset,
            "source": str(self.source.resolve()),
            "section": name,
            "copy": self.copy,
            "frames": zlib.crc32("\n".join(sorted(stems)).encode()),
        }

    def _facts(self, plan: dict[str, Any]) -> dict[str, Any]:
        return {"source": f"{self.dataset}:{self.source.resolve().name}", "plan": plan}

    def _is_there(self, name: str, plan: dict[str, Any]) -> bool:
        there = (self.out / name).is_dir() and read_section_facts(self.out / name).plan == plan
        if there:
            complete(self.out / name)
            log.info("%s is set up already", self.out / name)
        return there


def _group_of(sim: Path) -> str:
    if "outofplace" in sim.name:
        return "oop_drone"
    return "winter_drone" if "winter" in sim.name else "drone"


def _refuse_same_names(groups: Iterable[_Group]) -> None:
    counts = Counter(frame.stem for group in groups for frame in group.frames)
    twice = [stem for stem, count in counts.items() if count > 1]
    if twice:
        raise TransposeError(f"{len(twice)} renders of different sequences have one name, such as {twice[0]}")
