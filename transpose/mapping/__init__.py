"""Map points from photos with known poses: keypoints matched between views, joined to tracks, and triangulated."""
