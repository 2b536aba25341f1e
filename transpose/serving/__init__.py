"""Localization over HTTP: photos come in by `api`, are worked on one after another by `work`, and nothing is written."""
