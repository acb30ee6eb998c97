"""How a command's data channel comes to be: which side connects, and the other way where the first fails.

docs/protocol.md, section 4 (step 3) and section 6 (``passive``, ``token``, ``tls``).
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Final

from ..errors import ConnectionTimedOut, NotSupported
from ..flow.channel import DataChannel
from ..flow.opening import ConnectPassive
from ..flow.talk import join_passive, prove_listening
from ..protocol.options import Options
from .command import Command
from .conversation import UNREACHED
from .services import Services

ACTIVE: Final = "active"
"""The server connects."""

PASSIVE: Final = "passive"
"""The client connects."""

AUTO: Final = "auto"
"""What works, found out."""

PATIENCE: Final = 3.0
"""Seconds from the server's being ready until the other way is tried."""

_TOKEN_BYTES: Final = 16


def ways(services: Services, data: str) -> tuple[str, ...]:
    """What to try for ``data``, in this order.  Raises `NotSupported`."""
    offered = services.offered or {}
    if data == PASSIVE and PASSIVE not in offered:
        raise NotSupported('The server does not offer "passive".')
    if data != AUTO:
        return (data,)
    if PASSIVE not in offered:
        return (ACTIVE,)
    if services.way is not None:
        return (services.way,)
    return (ACTIVE, PASSIVE) if services.near else (PASSIVE, ACTIVE)


async def open_channel(
    command: Command, size: int | None = None, options: Options | None = None, way: str | None = None
) -> DataChannel:
    """Steps 1 to 4: say the command, and have a data channel for it.

    ``size`` is of a put, None while unknown.  ``way`` is the only one to try; else what has worked is
    remembered for the session, where it was not told.  Raises what the server says, `CertificateRefused`,
    and `NotSupported`.
    """
    services = command.services
    options = options or Options()
    first, *others = ways(services, way or services.data)
    if not others:
        return await _open(command, first, size, options)
    command.try_out()
    try:
        channel = await _open(command, first, size, options, PATIENCE)
        command.count()
        services.way = first
    except UNREACHED:
        await command.withdraw()
        channel = await _open(command, others[0], size, options)
        services.way = others[0]
    return channel


async def _open(
    command: Command, way: str, size: int | None, options: Options, patience: float | None = None
) -> DataChannel:
    """Say the command, and wait for the data channel; with ``patience`` no longer than so many seconds."""
    if way == PASSIVE:
        return await _connect(command, size, options, patience)
    return await _listen(command, size, options, patience)


async def _connect(
    command: Command, size: int | None, options: Options, patience: float | None
) -> DataChannel:
    services = command.services
    secured = services.secured
    command.announce(None, size, options)
    token = await command.within_stall_time(command.answers.token)
    introduce = join_passive(
        token, None if secured is None else secured.side, starttls=secured is not None and secured.starttls
    )
    timeout = services.limits.connect_timeout if patience is None else patience
    opening = ConnectPassive(services.reactor, *command.ends(), timeout, introduce, services.tuning)
    return command.keep_channel(await command.wait(opening.open()))


async def _listen(
    command: Command, size: int | None, options: Options, patience: float | None
) -> DataChannel:
    services = command.services
    introduce = None
    if "token" in (services.offered or {}) or services.secured is not None:
        token = secrets.token_hex(_TOKEN_BYTES)
        options = replace(options, token=token)
        introduce = prove_listening(token, None if services.secured is None else services.secured.side)
    listener = command.listen()
    try:
        command.announce(listener.port, size, options)
        if patience is not None:
            await command.within_stall_time(command.answers.ready)
        opening = listener.open(introduce)
        if patience is not None:
            opening.addTimeout(patience, services.reactor, _nobody)
        return command.keep_channel(await command.wait(opening))
    except BaseException:
        listener.close()  # whoever comes late is not to be taken for the next transfer's
        raise


def _nobody(result: object, timeout: float) -> DataChannel:
    raise ConnectionTimedOut("The server did not connect to the data channel.")
