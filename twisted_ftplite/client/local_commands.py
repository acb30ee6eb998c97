"""What the verbs lcd and lpwd do: the directory of this machine that local names are taken from."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..errors import LocalFileTrouble
from .flags import Call
from .words import spell

if TYPE_CHECKING:
    from .shell import Shell


async def lcd(shell: Shell, call: Call) -> None:
    """Go to a directory of this machine, or home."""
    path = shell.expand(call.words[0] if call.words else "~")
    try:
        await shell.local(os.chdir, path)
    except OSError as error:
        raise LocalFileTrouble(f"{path}: {error.strerror}", error) from error


async def lpwd(shell: Shell, call: Call) -> None:
    """Tell where in this machine local names are taken from."""
    try:
        where = await shell.local(os.getcwd)
    except OSError as error:
        raise LocalFileTrouble(f"the working directory: {error.strerror}", error) from error
    await shell.console.say(spell(where) + "\n")
