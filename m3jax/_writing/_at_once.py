"""Files of one folder in one step, so that a process killed anywhere leaves all of them or none.

The folder is made anew beside the old, where that has files of others as links to the same files.
Then the two change places: that is the step. The old folder, now under the temporary name, is
brought up to date as well and changes places once more, for terminals, servers and locks hold on
to a folder and not to its name. Whenever that stops, the name shows a whole folder.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from ._disk import make_folder, remove_folder, store, sync_folder
from ._exchange import exchange
from ._places import check_place, told
from ._turns import away, temporary_name, turn

_LINKS_TO_LINKS = os.link in os.supports_follow_symlinks  # a second name for a symbolic link itself


def write_at_once(
    contents: Mapping[Path, bytes], *, then: Callable[[], None] | None = None
) -> bool:
    """Write the files of one folder in one step, or nothing.

    False, and nothing is written, where that cannot be had: files of several folders, a folder
    that this process stands in, a mount point, no permission to write beside the folder, a system
    or file system that exchanges no folders or has no links. `then` is called as by `write_files`.
    Raises `M3Error` naming the file that cannot be written.
    """
    for path in contents:
        check_place(path)
    if len({path.parent for path in contents}) != 1 or not _LINKS_TO_LINKS:
        return False
    with ExitStack() as made, ExitStack() as tidy:  # left in reverse
        try:
            folder = next(iter(contents)).parent.resolve()
            # Whoever runs a program in a folder of many things does not expect it to be replaced.
            if Path.cwd().is_relative_to(folder):
                return False
            make_folder(folder.parent, made)
            tidy.enter_context(turn(folder.parent))
            tidy.enter_context(turn(folder))
            fresh = folder.parent / temporary_name()
            tidy.callback(remove_folder, fresh)
            fresh.mkdir()
            tidy.enter_context(turn(fresh))  # whoever finds it by the name waits as well
            _fill(fresh, folder, contents)
            if not folder.exists():
                os.rename(fresh, folder)
            else:
                exchange(fresh, folder)
                with contextlib.suppress(OSError):  # what the name shows is whole either way
                    _bring_up_to_date(fresh, folder)
                    exchange(fresh, folder)
        except OSError:
            return False
        sync_folder(folder)
        sync_folder(folder.parent)
        if then is not None:
            then()
    return True


def _fill(fresh: Path, folder: Path, contents: Mapping[Path, bytes]) -> None:
    """Make a new folder what the old one shall be."""
    for path, content in contents.items():
        with told(path):
            store(fresh / path.name, content)
    if folder.exists():
        fresh.chmod(stat.S_IMODE(folder.stat().st_mode))
        names = {path.name for path in contents}
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name in names:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    # To where it will be, for a moment: folders have no second name.
                    os.symlink(away(fresh.name, entry.name), fresh / entry.name)
                else:
                    os.link(entry.path, fresh / entry.name, follow_symlinks=False)
    sync_folder(fresh)


def _bring_up_to_date(old: Path, new: Path) -> None:
    """The old folder comes to hold the files of the new one, folders apart."""
    with os.scandir(new) as entries:
        for entry in entries:
            place = old / entry.name
            with contextlib.suppress(FileNotFoundError):
                there = place.lstat()
                same = os.path.samestat(there, entry.stat(follow_symlinks=False))
                if same or stat.S_ISDIR(there.st_mode):
                    continue
            link = old / temporary_name()
            os.link(entry.path, link, follow_symlinks=False)
            os.replace(link, place)
