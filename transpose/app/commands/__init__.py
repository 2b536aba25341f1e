"""One file a command: a frozen dataclass whose fields are its flags and whose `run` calls the library.

Nothing heavy is imported at the top of these files, so that `--help` answers at once. Degrees, paths and names are
converted here and nowhere below.
"""
