"""Localization over HTTP: photos come in by `api`, are worked on one by one (`work`), and nothing is written."""
