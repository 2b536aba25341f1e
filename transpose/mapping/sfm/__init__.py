"""Structure from motion: poses of photos that have none, by keypoints of ours and the mapper of COLMAP."""
