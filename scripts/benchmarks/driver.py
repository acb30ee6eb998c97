"""Uses the client library in a process of its own: `python -m benchmarks.driver PORT SESSIONS DATA PIN`.

Connects, says ``ready``, then does each job its input names as a line of JSON, and answers with a line of
JSON: seconds from before the first call of the library to the end of the last one, the bytes moved, and for
each connection that was inside TLS since the line before, what it spoke.
"""

from __future__ import annotations

import json
import ssl
import sys
import time
from typing import Any

from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.internet.task import react

from twisted_ftplite.client import Session, connect
from twisted_ftplite.client.session import DEFAULT, TLS, ClientReactor

spoken: list[tuple[str, str]] = []
"""The version and suite of every handshake."""


class Told(ssl.SSLSocket):
    """A socket that notes what its handshake came to."""

    def do_handshake(self, block: bool = False) -> None:
        super().do_handshake(block)
        suite = self.cipher()
        spoken.append((self.version() or "", suite[0] if suite else ""))


def checksum(job: dict[str, Any]) -> str | None:
    """What a transfer shall be compared by: an algorithm, ``none``, or what the library does unasked."""
    told: str = job.get("checksum", DEFAULT)
    return None if told == "none" else told


def forget_tokens(sessions: list[Session]) -> None:
    """Be a client that has not heard that the server lists ``token``: what that costs cannot be told else."""
    for session in sessions:
        offered = session._turns.services.offered
        if offered is not None:
            offered.pop("token", None)


async def get(sessions: list[Session], job: dict[str, Any]) -> int:
    """One file."""
    done = await sessions[0].get(job["name"], job["target"], checksum=checksum(job))
    return done.size


async def put(sessions: list[Session], job: dict[str, Any]) -> int:
    """One file."""
    done = await sessions[0].put(job["source"], job["name"], checksum=checksum(job))
    return done.size


async def many(sessions: list[Session], job: dict[str, Any]) -> int:
    """Many files, dealt out to all sessions; each gets its own one after another."""
    names: list[str] = job["names"]

    async def share(index: int) -> int:
        size = 0
        for name in names[index :: len(sessions)]:
            target = f"{job['into']}/{job.get('rename', name)}"
            size += (await sessions[index].get(name, target, checksum=checksum(job))).size
        return size

    shares = [Deferred.fromCoroutine(share(index)) for index in range(len(sessions))]
    return sum(await gatherResults(shares, consumeErrors=True))


async def queued(sessions: list[Session], job: dict[str, Any]) -> int:
    """Many files, all asked for at once on one session, which queues them."""
    calls = [
        Deferred.fromCoroutine(sessions[0].get(name, f"{job['into']}/{name}", checksum=checksum(job)))
        for name in job["names"]
    ]
    return sum(each.size for each in await gatherResults(calls, consumeErrors=True))


JOBS = {"get": get, "put": put, "many": many, "queued": queued}


async def main(reactor: ClientReactor, port: str, count: str, data: str, pin: str) -> None:
    """Between jobs nothing else happens here, so it may wait for its input."""
    tls = TLS(pins=(pin,)) if pin else None
    ssl.SSLContext.sslsocket_class = Told
    sessions = [await connect(reactor, "127.0.0.1", int(port), tls=tls, data=data) for _ in range(int(count))]
    print("ready", flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        if job.get("token") == "no":
            forget_tokens(sessions)
        start = time.perf_counter()
        try:
            size = await JOBS[job["do"]](sessions, job)
        except FirstError as first:  # of many at once: what went wrong is inside
            first.subFailure.raiseException()
        seconds = time.perf_counter() - start
        print(json.dumps({"seconds": seconds, "size": size, "spoken": spoken}), flush=True)
        spoken.clear()
    for session in sessions:
        await session.close()


if __name__ == "__main__":
    react(lambda reactor, *words: Deferred.fromCoroutine(main(reactor, *words)), sys.argv[1:])
