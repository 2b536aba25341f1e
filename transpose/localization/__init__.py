"""From one image to a pose, and to the knowledge that there is none."""

from transpose.localization.coordinate_map import CoordinateMap
from transpose.localization.scene_coordinates import SceneCoordinateLocalizer, load

__all__ = ["CoordinateMap", "SceneCoordinateLocalizer", "load"]
