"""Counts and times for Prometheus."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60)


class Metrics:
    """Of one service; several may live in one process."""

    media_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._photos = Counter(
            "transpose_photos", "Photos by the run that answered and what came of them", ["run", "outcome"],
            registry=self._registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "transpose_photo_seconds", "Time a photo, without waiting", buckets=_SECONDS, registry=self._registry
        )
        self._waiting = Gauge("transpose_waiting", "Requests queued or under way", registry=self._registry)

    def count(self, run: str, located: bool, seconds: float) -> None:
        """A photo that was answered."""
        self._photos.labels(run, "located" if located else "refused").inc()
        self._seconds.observe(seconds)

    def text(self, waiting: int) -> bytes:
        """All of them, as they are scraped."""
        self._waiting.set(waiting)
        return bytes(generate_latest(self._registry))
