"""Writing to the disk: all files of a call or none, and never half a file.

Files are written under temporary names, flushed to the disk and only then renamed: one by one, or,
in a folder of their own, all in one step. Writers in one folder take turns, so whoever's turn it is
may clear away what killed ones left.
"""

from ._at_once import write_at_once
from ._files import Content, write_files
from ._places import check_place

__all__ = ["Content", "check_place", "write_at_once", "write_files"]
