"""The scene folder: sections of images with poses, intrinsics and labels, in the layout of DSAC* and CrossLoc."""

from transpose.scenes.layout import Frame, Section, open_section, split_section_path

__all__ = ["Frame", "Section", "open_section", "split_section_path"]
