"""The files of hloc (Sarlin et al., CVPR 2019): features, global descriptors, pairs, matches and results."""
