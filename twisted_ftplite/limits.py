"""Every bound of the package in one place, each with its unit and its reason.

Bytes and seconds throughout.  What an operator may set is named after its option.
"""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of one server or client.  Immutable: a change makes a new one."""

    # The control channel (docs/protocol.md, sections 1, 2 and 5).
    line_length: int = 8192
    """Bytes of a line with its LF; the protocol's own figure."""

    control_read: int = 4 * KIB
    """Bytes taken from a control channel at a time: LineReceiver splits in quadratic time, so little."""

    queue_size: int = 64 * KIB
    """Bytes of lines that keep their place behind a running command before reading stops."""

    bad_lines: int = 10
    """Lines in a row that nobody could make sense of before the session ends."""

    # Time, in seconds.
    connect_timeout: float = 10.0
    """From the announced port to a connected data channel."""

    stall_timeout: float = 60.0
    """A transfer in which nothing moves for so long is over."""

    idle_timeout: float = 300.0
    """A session that says nothing for so long, and in which no command runs, is over."""

    drain_timeout: float = 30.0
    """What a running transfer is given to finish when the server stops."""

    close_timeout: float = 5.0
    """What a peer is given to read the last words before its connection is reset."""

    verdict_timeout: float = 1.0
    """When a data channel broke: how long the peer's own reason for it may take to arrive."""

    working_interval: float = 10.0
    """Between two ``Working`` fields while a side syncs or commits."""

    reset_interval: float = 1.0
    """Between two looks whether a client whose lines are not read just now is still there."""

    # Sessions.
    max_sessions: int = 1000
    max_sessions_per_host: int = 100
    max_sessions_per_user: int = 100
    max_transfers_per_user: int = 100
    max_refused: int = 64
    """Refused connections that get the time to read why; those beyond are closed without a word."""

    descriptors_per_session: int = 3
    """What a session holds at most: control channel, data channel, one file."""

    descriptors_reserved: int = 512
    """For the listening ports, the log, worker threads' directories and the pipes of `pipes`."""

    max_undecided: int = 64
    """Connections beyond those that have not said yet whether they are a data channel, while one is due."""

    max_depth: int = 64
    """Directories that a path may go down."""

    # Logins.
    login_failures_session: int = 5
    """Failed logins after which a session ends."""

    login_failures_host: int = 15
    """Failed logins of a host within `login_failures_window` after which it is refused."""

    login_failures_window: float = 600.0
    """Seconds in which they are counted."""

    ban_time: float = 1800.0
    """Seconds for which such a host is refused."""

    max_bans: int = 10_000
    """Hosts whose failed logins are remembered; then the oldest are forgotten: each costs 500 bytes."""

    hashing_threads: int = 2
    """Passwords hashed at a time: each takes 64 MiB."""

    # Moving bytes.
    max_file_size: int = 2**63 - 1
    """Bytes of a stored file; the default is what the wire's 19 digits and off_t can both say."""

    small_file: int = 64 * KIB
    """A file up to here is read when it is opened, or written when it is published: one hop to a thread."""

    piece: int = MIB
    """Bytes a call of sendfile(2) or splice(2) is asked to move."""

    pieces_a_turn: int = 16
    """Calls before the reactor gets its turn back: 16 MiB kept others' 99th percentile at 5 ms."""

    quota_step: int = 16 * MIB
    """Bytes of a user's quota that an upload of unknown size reserves at a time."""

    receive_buffer: int = 256 * KIB
    """Bytes of the one buffer a receiver reuses; 1 MiB was slower (page faults)."""

    window: int = 4 * MIB
    """Bytes whose presence in the page cache is asked for, or that a thread reads into it, at a time."""

    pipes: int = 64
    """Pipes that splicing transfers share; a transfer that gets none copies through its buffer."""

    pipe_size: int = MIB
    """Bytes a pipe holds: the most that a process without privileges may ask for."""

    listing_piece: int = 64 * KIB
    """Bytes of a listing made in one hop to a thread."""

    listing_size: int = 256 * MIB
    """Bytes of a listing that a client takes: a million names of 255."""

    # Threads.
    threads: int = 64
    """Threads that may wait for a disk at once: so many stalled disks before anyone waits for a thread."""

    # Uploads that broke off.
    resumable_size: int = MIB
    """Bytes announced above which an upload survives a kill -9; below, sending it again costs less."""

    keep_partials: float = 7 * 24 * 3600.0
    """Seconds an upload that broke off can be gone on with."""

    max_partials: int = 10_000
    """Uploads that broke off and are kept, of all users; then the oldest go: each costs memory, 400 bytes."""

    checksums: int = 10_000
    """Checksums of files that a server knows again: each costs memory, 500 bytes."""
