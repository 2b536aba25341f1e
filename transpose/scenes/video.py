"""Single images of a video, through OpenCV's decoders."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from transpose.errors import TransposeError
from transpose.storage import refuse_pointer
from transpose.untrusted.images import MOST_PIXELS

_HEAD = 512
_NO_TEXT = re.compile(rb"[\0-\x08\x0e-\x1f\x80-\xff]")

_LOOKED_AT_HZ = 15.0
_WIDTH = 320  # of the images that are looked at
_SPACING = 0.15  # of an image's width: neighbours share most of what they show
_FEWEST_FOLLOWED = 10
_MOST_FRAMES = 1_000_000  # what a header says beyond that is not believed


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
    return VideoFacts(int(width), int(height), rate_hz, int(min(max(0.0, count), _MOST_FRAMES)))


def video_frames(path: Path, wanted: Iterable[int], upright: bool = False) -> Iterator[tuple[int, np.ndarray]]:
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
    if path.is_dir():
        raise TransposeError(f"{path} is a folder; name the video in it")
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


def sharp_frames(
    path: Path, facts: VideoFacts, progress: Callable[[Sequence[int], str], Iterable[int]] = lambda numbers, _: numbers
) -> list[int]:
    """The numbers of images that show a place once: evenly spaced in what moves past the camera, the sharpest of each.

    How far it moves is optical flow (Lucas and Kanade 1981, pyramidal), in the median over corners; a stretch in which
    that adds up to `_SPACING` of the image's width gives one image, that of most contrast between neighbouring pixels
    (variance of the Laplacian). Where what was seen cannot be followed a new stretch begins. About 15 images a second
    are looked at.

    Args:
        path: of the video.
        facts: what it says of itself.
        progress: wraps the numbers of images that are looked at.

    Raises:
        TransposeError: see `video_frames`.
    """
    step = max(1, round(facts.rate_hz / _LOOKED_AT_HZ))
    # Formats that do not say how many images they hold are read to the end.
    numbers = range(0, facts.count or _MOST_FRAMES, step)
    best: dict[int, tuple[float, int]] = {}
    travelled, before_hw = 0.0, None
    for number, image_hw3 in video_frames(path, progress(numbers, "looking through")):
        height = max(1, round(facts.height * _WIDTH / facts.width))
        grey_hw = cv2.resize(
            cv2.cvtColor(image_hw3, cv2.COLOR_RGB2GRAY), (_WIDTH, height), interpolation=cv2.INTER_AREA
        )
        travelled += 0.0 if before_hw is None else _moved(before_hw, grey_hw) / (_SPACING * _WIDTH)
        before_hw = grey_hw
        sharpness = float(cv2.Laplacian(grey_hw, cv2.CV_32F).var())
        best[int(travelled)] = max(best.get(int(travelled), (-1.0, 0)), (sharpness, number))
    return sorted(number for _, number in best.values())


def _moved(before_hw: np.ndarray, after_hw: np.ndarray) -> float:
    """By how many pixels what is seen moved between two grey images; a whole stretch where none of it is found again.

    An image without corners shows nothing that could have moved.
    """
    corners_n12 = cv2.goodFeaturesToTrack(before_hw, 200, 0.01, 8)
    if corners_n12 is None or len(corners_n12) < _FEWEST_FOLLOWED:
        return 0.0
    moved_n12, followed_n1, _ = cv2.calcOpticalFlowPyrLK(before_hw, after_hw, corners_n12, corners_n12.copy())
    followed_n = followed_n1.reshape(-1) == 1
    if followed_n.sum() < _FEWEST_FOLLOWED:
        return _SPACING * _WIDTH
    return float(np.median(np.linalg.norm((moved_n12 - corners_n12).reshape(-1, 2)[followed_n], axis=1)))
