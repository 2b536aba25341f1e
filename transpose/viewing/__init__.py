"""A place in the browser: what is shown (`content`), and how viser shows it (`page`)."""
