"""Localization by matching: photos of a database that look alike, their keypoints matched, a pose from their points."""
