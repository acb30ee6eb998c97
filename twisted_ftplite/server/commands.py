"""The verbs that are served: one table, and those of them that touch no file.

A verb is one coroutine, which returns the phrase of its success; a refusal is raised as one of
:mod:`twisted_ftplite.errors`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ..protocol.lines import VERBS, FieldName, Success, encode_field
from .access import login, password, starttls
from .call import Call
from .status import status
from .transfers import get, ls, put
from .tree import cd, checksum, mkdir, mv, pwd, rm, rmdir, stat

Handler = Callable[[Call], Awaitable[Success]]


async def features(call: Call) -> Success:
    """Tell what can be asked for."""
    for feature in call.features:
        call.say(encode_field(FieldName.FEATURE, feature))
    return Success.FEATURES_LISTED


async def help_(call: Call) -> Success:
    """Tell the verbs."""
    for verb in VERBS.values():
        if verb.feature is None or verb.feature in call.session.features:
            call.say(encode_field(FieldName.HELP, f"{verb.usage} - {verb.help}"))
    return Success.HELP_LISTED


async def noop(call: Call) -> Success:
    """Do nothing."""
    return Success.NOTHING_DONE


async def quit_(call: Call) -> Success:
    """End the session, behind this status."""
    return Success.GOODBYE


HANDLERS: dict[str, Handler] = {
    "ls": ls,
    "get": get,
    "put": put,
    "features": features,
    "help": help_,
    "noop": noop,
    "quit": quit_,
    "pwd": pwd,
    "cd": cd,
    "mkdir": mkdir,
    "rmdir": rmdir,
    "rm": rm,
    "mv": mv,
    "stat": stat,
    "checksum": checksum,
    "status": status,
    "starttls": starttls,
    "login": login,
    "password": password,
}
"""The verbs that are served; the others of the protocol are ``FAILURE: Not supported.``"""
