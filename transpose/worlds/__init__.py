"""Worlds: 3D models of places, how they come to be, where to look at them from, and what is seen from there."""
