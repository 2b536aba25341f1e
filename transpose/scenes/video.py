"""Single images of a video, through OpenCV's decoders."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from transpose.errors import TransposeError
from transpose.storage import refuse_pointer
from transpose.untrusted.images import MOST_PIXELS

_HEAD = 512
_NO_TEXT = re.compile(rb"[\0-\x08\x0e-\x1f\x80-\xff]")


@dataclass(frozen=True)
class VideoFacts:
    """What a video says of itself: pixels as stored, images a second, and how many (about, of some formats)."""

    width: int
    height: int
    rate_hz: float
    count: int


def video_facts(path: Path) -> VideoFacts:
    """Reads the header of a video.

    Raises:
        TransposeError: it is missing, or no video that can be decoded here.
    """
    capture = _opened(path, upright=False)
    said = (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FPS, cv2.CAP_PROP_FRAME_COUNT)
    width, height, rate_hz, count = (capture.get(each) for each in said)
    capture.release()
    if min(width, height) < 1 or not rate_hz > 0 or width * height > MOST_PIXELS:
        raise TransposeError(f"{path} is a video of {width:g} x {height:g} pixels at {rate_hz:g} Hz; is it whole?")
    return VideoFacts(int(width), int(height), rate_hz, max(0, int(count)))


def video_frames(path: Path, wanted: Sequence[int], upright: bool = False) -> Iterator[tuple[int, np.ndarray]]:
    """Some images of a video, (height, width, 3) uint8 RGB, each with its number from 0; rising, one pass.

    Args:
        path: of the video.
        wanted: numbers, rising. Those beyond the end do not come.
        upright: turned as the video says that it was held, or as the images are stored.

    Raises:
        TransposeError: it is missing, or no video that can be decoded here.
    """
    capture = _opened(path, upright)
    try:
        at = -1
        for number in wanted:
            while at < number and capture.grab():
                at += 1
            if at < number:
                return
            image_hw3 = _retrieved(capture, path, number)
            if image_hw3 is not None:
                yield number, image_hw3
    finally:
        capture.release()


def _retrieved(capture: cv2.VideoCapture, path: Path, number: int) -> np.ndarray | None:
    """The image that was grabbed, RGB; None of one that is damaged."""
    try:
        done, image_hw3 = capture.retrieve()
        whole = done and image_hw3 is not None and image_hw3.size > 0
        return cv2.cvtColor(image_hw3, cv2.COLOR_BGR2RGB) if whole else None
    except cv2.error as error:
        raise TransposeError(f"{path} is broken at image {number} ({error.err}); copy it again") from None


def _opened(path: Path, upright: bool) -> cv2.VideoCapture:
    if not path.is_file():
        raise TransposeError(f"{path} does not exist")
    refuse_pointer(path)
    with path.open("rb") as file:
        head = file.read(_HEAD)
    # What is all text is no film but a list of some, on this disk or on servers, which FFmpeg would follow.
    if head and not _NO_TEXT.search(head):
        raise TransposeError(f"{path} is not a video that can be read here (a text; where it names films, take one)")
    capture = cv2.VideoCapture(str(path))
    if not capture.isOpened():
        raise TransposeError(f"{path} is not a video that can be read here (truncated, or of another format)")
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, float(upright))
    return capture
