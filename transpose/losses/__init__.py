"""Losses: per-sample values; the recipe owns weights and means."""
