"""Search for a pose among outliers, and its refinement on all points."""
