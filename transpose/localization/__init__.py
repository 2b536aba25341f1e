"""From one image to a pose, and to the knowledge that there is none."""

from transpose.localization.scene_coordinates import CoordinateMap, SceneCoordinateLocalizer, load

__all__ = ["CoordinateMap", "SceneCoordinateLocalizer", "load"]
