"""How many pixels an image may have, by its header, before any is decoded."""

from __future__ import annotations

MOST_PIXELS = 1 << 29
"""Of one image: 1.6 GB as RGB. The largest phones take 200 megapixels, textures have 16384 x 16384."""
_ALWAYS = 1 << 24  # 50 MB as RGB, whatever the file's size is
_MOST_A_BYTE = 8300  # a PNG of one bit a pixel, all alike: eight by what deflate packs best


def too_many_pixels(width: int, height: int, size: int) -> str:
    """What is wrong with an image's header, in words; empty where nothing is.

    Args:
        width, height: that it says.
        size: of the file, bytes.
    """
    pixels = width * height
    if pixels > MOST_PIXELS:
        return f"{width} x {height} pixels, over {MOST_PIXELS >> 20} x 2^20, the most that are read; make it smaller"
    if pixels > max(_ALWAYS, _MOST_A_BYTE * size):
        return f"said to have {width} x {height} pixels, more than {size} bytes hold; it is broken, or made to do harm"
    return ""
