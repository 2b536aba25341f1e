"""The scale and the frame of a reconstruction: from the photos' GPS tags, or from a distance that somebody measured."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from transpose.errors import TransposeError, first_few
from transpose.geometry.geodesy import ecef_from_geodetic, ned_axes
from transpose.geometry.similarity import Similarity, robust_similarity
from transpose.scenes.exif import GpsTag
from transpose.scenes.setup.photo_files import stem_of

log = logging.getLogger(__name__)
_MOST_SCALE_SIGMA = 0.05  # relative; GPS that says no more of the size of a place is left alone
_MOST_TURN_SIGMA_DEG = 10.0  # about the line along which photos were taken
_ENU_OF_NED = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])


@dataclass(frozen=True)
class KnownDistance:
    """Metres between the cameras of two photos, named as the user names them.

    Raises:
        TransposeError: the distance is none.
    """

    first: str
    second: str
    metres: float

    def __post_init__(self) -> None:
        if not 0 < self.metres < math.inf:
            raise TransposeError(f"--scale-from needs a distance in metres, not {self.metres}")

    def among(self, photos: Collection[str]) -> tuple[str, str]:
        """The names of the two photos as `photos` has them.

        Raises:
            TransposeError: one is none of them or several, or both are one.
        """
        first, second = _named(self.first, photos), _named(self.second, photos)
        if first == second:
            raise TransposeError(f"--scale-from names {first} twice; it needs two photos, from two places")
        return first, second


@dataclass(frozen=True, eq=False)
class MetricFrame:
    """What brings a reconstruction into metres, and what is worth recording of it."""

    similarity: Similarity
    facts: Mapping[str, Any]


def frame_by_distance(
    centers: Mapping[str, np.ndarray], known: KnownDistance, reasons: Mapping[str, str]
) -> MetricFrame:
    """The reconstruction's own axes, at the scale at which two cameras are as far apart as they were.

    Args:
        centers: of the cameras of the photos that were placed, by name.
        known: the distance.
        reasons: of the photos that were not.

    Raises:
        TransposeError: a photo is none of those that were placed, or both stand in one place.
    """
    first, second = known.among([*centers, *reasons])
    for name in (first, second):
        if name in reasons:
            raise TransposeError(f"--scale-from names {name}, which has no pose: {reasons[name]}")
    length = float(np.linalg.norm(centers[first] - centers[second]))
    extent = max(float(np.linalg.norm(center - centers[first])) for center in centers.values())
    if not length > 1e-6 * extent:
        raise TransposeError(f"{first} and {second} were taken from one place, so no scale follows from --scale-from")
    facts = {"scale": f"{known.metres:g} m between {first} and {second}"}
    return MetricFrame(Similarity(known.metres / length, np.eye(3), np.zeros(3)), facts)


def _named(word: str, photos: Collection[str]) -> str:
    fits = [name for name in photos if word in (name, stem_of(name))]
    if len(fits) != 1:
        what = "is the name of several photos" if fits else f"is none of the photos ({first_few(sorted(photos), 3)})"
        raise TransposeError(f"--scale-from names {word}, which {what}; give the name of one's file")
    return fits[0]


def frame_by_gps(centers: Mapping[str, np.ndarray], tags: Mapping[str, GpsTag], seed: int) -> MetricFrame | None:
    """Metres east, north and up of the middle of the photos; only metres where they stand on a line; None without GPS.

    A robust similarity, so that tags that are far off do not count. None, with a warning, where the tags do not agree
    well enough to say how large the place is.

    Args:
        centers: of the cameras, by the names of their photos.
        tags: of those photos that have one.
        seed: of the search.
    """
    names = [name for name in centers if name in tags]
    if len(names) < 3:
        if names:
            log.warning(
                "only %d of %d photos have GPS tags; three are needed for scale and frame", *_of(names, centers)
            )
        return None
    east_north_up_n3, origin_3 = _local([tags[name] for name in names])
    try:
        similarity, agree_n, sigma_m = robust_similarity(
            np.array([centers[name] for name in names]), east_north_up_n3, seed
        )
    except ValueError:
        log.warning("the photos' GPS tags are not used: all say places on one line, or one place")
        return None
    across_n3 = east_north_up_n3[agree_n] - east_north_up_n3[agree_n].mean(0)
    spread_3 = np.linalg.svd(across_n3, compute_uv=False)
    scale_sigma = sigma_m / float(np.linalg.norm(across_n3))
    if not (similarity.scale > 0 and scale_sigma <= _MOST_SCALE_SIGMA):
        log.warning(
            "the photos' GPS tags are not used: they disagree by %.1f m, from which the size of the place follows to "
            "%.0f %% only; say a distance with --scale-from",
            *(sigma_m, 100 * scale_sigma),
        )
        return None
    facts: dict[str, Any] = {"scale": "GPS", "gps_sigma_m": sigma_m, "gps_photos": int(agree_n.sum())}
    log.info("scale by the GPS tags of %d photos, which agree within %.2f m along an axis", agree_n.sum(), sigma_m)
    if math.degrees(sigma_m / float(spread_3[1])) > _MOST_TURN_SIGMA_DEG:
        log.warning(
            "the photos stand on a line, so GPS does not say which way is up: axes are the reconstruction's own"
        )
        return MetricFrame(Similarity(similarity.scale, np.eye(3), np.zeros(3)), facts)
    return MetricFrame(similarity, {**facts, "axes": "east, north, up", "gps_origin": origin_3.tolist()})


def _of(names: list[str], centers: Mapping[str, np.ndarray]) -> tuple[int, int]:
    return len(names), len(centers)


def _local(tags: list[GpsTag]) -> tuple[np.ndarray, np.ndarray]:
    """Metres east, north and up (n, 3) of the tags' median, which is longitude, latitude, altitude (3,).

    A tag without altitude gets the others' median; where none has one, all were taken at the same height.
    """
    known = [tag.altitude_m for tag in tags if tag.altitude_m is not None]
    usual_m = float(np.median(known)) if known else 0.0
    lonlath_n3 = np.array(
        [(tag.longitude_deg, tag.latitude_deg, usual_m if tag.altitude_m is None else tag.altitude_m) for tag in tags]
    )
    origin_3 = np.median(lonlath_n3, axis=0)
    R_ne = ned_axes(origin_3[:2])
    offset_n3 = ecef_from_geodetic(lonlath_n3) - ecef_from_geodetic(origin_3)
    return offset_n3 @ R_ne @ _ENU_OF_NED.T, origin_3
