"""Inspection of a scene, without any localizer: what it holds, what it covers, whether it agrees with itself."""
