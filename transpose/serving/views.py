"""The model as it is seen from where a photo was taken, for the page to lay over it."""

from __future__ import annotations

import secrets
from collections import OrderedDict

import cv2
import numpy as np

from transpose.geometry.cameras import Camera
from transpose.serving.places import Found, Place

_WIDEST_PX = 1280
_JPEG_QUALITY = 85


class Views:
    """The last answers whose views may be asked for, by a token that nobody can guess.

    Args:
        most: that are remembered.
    """

    def __init__(self, most: int = 64) -> None:
        self._most = most
        self._found: OrderedDict[str, Found] = OrderedDict()

    def remember(self, found: Found) -> str | None:
        """A token for the view of an answer; None where there is no pose, or no world to be seen."""
        if found.estimate.pose is None or found.place.renderer is None:
            return None
        token = secrets.token_urlsafe(16)
        self._found[token] = found
        while len(self._found) > self._most:
            self._found.popitem(last=False)
        return token

    def of(self, token: str) -> Found | None:
        """What was remembered under a token."""
        return self._found.get(token)


def drawn(found: Found) -> bytes:
    """The place's world from the pose of an answer, as a JPEG file's bytes.

    Raises:
        ValueError: there is no pose or no world.
    """
    pose, camera, renderer = found.estimate.pose, found.answer.camera, found.place.renderer
    if pose is None or camera is None or renderer is None:
        raise ValueError("nothing to be drawn")
    rgb_hw3 = renderer.view(_smaller(camera), pose).rgb_hw3
    _, data = cv2.imencode(".jpg", np.ascontiguousarray(rgb_hw3[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return data.tobytes()


def map_picture(place: Place) -> bytes | None:
    """A place from above, as a PNG file's bytes; None where it has no map."""
    return None if place.overhead is None else place.overhead.png


def _smaller(camera: Camera) -> Camera:
    widest = max(camera.width, camera.height)
    if widest <= _WIDEST_PX:
        return camera
    share = _WIDEST_PX / widest
    return camera.resized(max(1, round(share * camera.width)), max(1, round(share * camera.height)))
