"""What one client may ask of the service."""

from __future__ import annotations

from dataclasses import dataclass

MEGA = 1_000_000


@dataclass(frozen=True)
class Limits:
    """Bounds, each told to whoever goes beyond it.

    Attributes:
        megabytes: of the body of a request.
        megapixels: of a photo, by its header, before it is decoded.
        seconds: from the request to its answer; what waits longer is not begun any more.
        waiting: requests that wait for their turn; more are sent away with 429.
        batch: photos of one request.
    """

    megabytes: float = 30.0
    megapixels: float = 60.0
    seconds: float = 60.0
    waiting: int = 32
    batch: int = 16

    def __post_init__(self) -> None:
        for name in ("megabytes", "megapixels", "seconds", "waiting", "batch"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")

    @property
    def body_bytes(self) -> int:
        """Of a request."""
        return int(self.megabytes * MEGA)
