"""Foreign data sets, one file each: from the layout their publishers chose to a scene folder."""
