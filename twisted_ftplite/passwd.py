"""`ftplite-passwd`: makes, changes and removes the lines of a users file, without Twisted.

The file is replaced at once or not at all, and what is not asked for stays as it is, byte for byte.
"""

from __future__ import annotations

import errno
import fcntl
import getpass
import os
import re
import secrets
import shlex
import stat
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final, NamedTuple

import argon2
import click

from . import __version__
from .client.display import escape
from .client.troubles import BadUsage, Interrupted
from .errors import LocalFileTrouble
from .server.users import (
    NO_PASSWORD,
    UsersError,
    check_name,
    decoded,
    is_setting,
    notice_of,
    parse_users,
    split_words,
)

PROGRAM: Final = "ftplite-passwd"

PASSWORD_LENGTH: Final = 1024
"""Bytes of a password: a command line of the protocol holds it however it is quoted."""

PRIVATE: Final = 0o600
"""The mode of a file that is made."""

USAGE, FILE_TROUBLE, INTERRUPTED = 2, 4, 130
"""Exit statuses, those of `ftplite-client`."""

_LINE: Final = re.compile(r"[^\n]*\n|[^\n]+")
"""A line with its end."""


class Task(NamedTuple):
    """What the arguments say."""

    file: str
    user: str
    delete: bool
    stdin: bool
    settings: str
    """What a new line has behind its secret."""


@click.command(
    PROGRAM,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="\b\nExit status:\n  0  done        2  wrong usage, or no password\n"
    "  4  file trouble                  130  interrupted",
)
@click.argument("file")
@click.argument("user")
@click.option("--stdin", is_flag=True, help="Read the password from one line of standard input.")
@click.option("--delete", is_flag=True, help="Remove the user's line.")
@click.option("--permissions", metavar="WORDS", help="Of a new user: read, write, drop, or list,get,put...")
@click.option(
    "--root", metavar="FOLDER", help="Of a new user: a folder beneath the served one, or /absolute."
)
@click.option("--quota", metavar="SIZE", help="Of a new user: bytes, or as in 500M or 10Gi.")
@click.version_option(__version__, prog_name=PROGRAM, message="%(prog)s %(version)s")
def _arguments(
    file: str,
    user: str,
    stdin: bool,
    delete: bool,
    permissions: str | None,
    root: str | None,
    quota: str | None,
) -> Task:
    """Set the password of USER in the users FILE of an FTPLite server, making either where it is missing.

    The server reads the file when it starts and on SIGHUP.
    """
    given = {"permissions": permissions, "root": root, "quota": quota}
    words = [f"{key}={value}" for key, value in given.items() if value is not None]
    if delete and (stdin or words):
        raise BadUsage("--delete stands alone")
    try:
        check_name(user)
        settings = "".join(f" {shlex.quote(word)}" for word in words)
        parse_users(f"{shlex.quote(user)} -{settings}", file)
    except UsersError as error:
        raise BadUsage(error.what) from None
    except ValueError as error:
        raise BadUsage(str(error)) from None
    return Task(file, user, delete, stdin, settings)


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script; returns the exit status."""
    try:
        task = _parse(sys.argv[1:] if arguments is None else arguments)
        if task is not None:
            done = _run(task)
            _say(f"{task.file}: {task.user} {done}")
            if notice := notice_of(task.file):
                _complain(notice)
    except click.ClickException as error:
        return _give_up(USAGE, f"{error.format_message().rstrip('.')}. {PROGRAM} --help tells more.")
    except BadUsage as error:
        return _give_up(USAGE, str(error))
    except (UsersError, LocalFileTrouble) as error:
        return _give_up(FILE_TROUBLE, str(error))
    except (KeyboardInterrupt, Interrupted):
        return _give_up(INTERRUPTED, str(Interrupted()))
    return 0


def _parse(arguments: Sequence[str]) -> Task | None:
    """What to do; None where that was to show help or version."""
    try:
        with _arguments.make_context(PROGRAM, list(arguments)) as context:
            task: Task = _arguments.invoke(context)
            return task
    except click.exceptions.Exit:
        return None
    except OSError as error:
        _drop_output()
        raise LocalFileTrouble(f"standard output: {error.strerror}") from None


def _run(task: Task) -> str:
    """Do it; what was done.  A password is asked for only where it would be of use."""
    path = os.path.realpath(task.file)  # a link goes on leading there
    try:
        _edit(_read(path, task.file), task, NO_PASSWORD)
        secret = NO_PASSWORD if task.delete else _hash(_password(task))
        with _held(os.path.dirname(path)) as directory:
            old = _read(path, task.file)
            text, done = _edit(old, task, secret)
            _replace(directory, os.path.basename(path), text.encode(), old and old.status, task.file)
    except OSError as error:
        raise LocalFileTrouble(f"{task.file}: {error.strerror or error}") from None
    return done


class Old(NamedTuple):
    """The file as it was."""

    text: str
    status: os.stat_result


def _read(path: str, file: str) -> Old | None:
    """The file; None where there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # without waiting, should it be a FIFO
    except FileNotFoundError:
        return None
    with open(descriptor, "rb") as opened:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise LocalFileTrouble(f"{file}: is no regular file; name one")
        return Old(decoded(opened.read(), file), status)


def _edit(old: Old | None, task: Task, secret: str) -> tuple[str, str]:
    """The file's new text, in which there is no mistake, and what was done."""
    lines = _LINE.findall(old.text) if old is not None else []
    found = next((each for each, line in enumerate(lines) if _is_of(line, task.user)), None)
    if task.delete:
        if found is None:
            raise LocalFileTrouble(f"{task.file}: there is no user {task.user}")
        # An empty line keeps the numbers of those behind it what they are.
        parse_users("".join((*lines[:found], "\n", *lines[found + 1 :])), task.file)
        return "".join((*lines[:found], *lines[found + 1 :])), "was removed"
    if found is None:
        end = "\r\n" if lines and lines[-1].endswith("\r\n") else "\n"
        if lines and not lines[-1].endswith("\n"):
            lines[-1] += end
        lines.append(f"{shlex.quote(task.user)} {secret}{task.settings}{end}")
        done = "was added"
    else:
        if task.settings:
            raise BadUsage(f"{task.user} is in {task.file} already; change the settings there in an editor")
        lines[found] = _with_secret(lines[found], secret)
        done = "has a new password"
    text = "".join(lines)
    parse_users(text, task.file)
    return text, done


def _is_of(line: str, user: str) -> bool:
    try:
        words = split_words(line.rstrip("\n"))
    except ValueError:  # what is wrong is told when all is read
        return False
    return bool(words) and words[0].text == user


def _with_secret(line: str, secret: str) -> str:
    """The line with this secret for its own, or between name and settings where it has none."""
    name, *others = split_words(line.rstrip("\n"))
    if others and not is_setting(others[0].text):
        return f"{line[: others[0].start]}{secret}{line[others[0].end :]}"
    return f"{line[: name.end]} {secret}{line[name.end :]}"


def _password(task: Task) -> bytes:
    password = _read_line() if task.stdin else _ask(task.user)
    if not password:
        raise BadUsage("the password is empty; nothing was changed")
    if len(password) > PASSWORD_LENGTH:
        raise BadUsage(f"the password has more than {PASSWORD_LENGTH} bytes; nothing was changed")
    try:
        password.decode("utf-8")
    except UnicodeDecodeError:
        raise BadUsage("the password is not UTF-8; nothing was changed") from None
    return password


def _read_line() -> bytes:
    try:
        if sys.stdin is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        line = sys.stdin.buffer.readline(PASSWORD_LENGTH + 3)
    except OSError as error:
        raise LocalFileTrouble(f"standard input: {error.strerror}") from None
    return line.removesuffix(b"\n").removesuffix(b"\r")


def _ask(user: str) -> bytes:
    """A password, typed twice at the terminal, which does not show it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)
            password = getpass.getpass(f"Password of {user}: ")
            again = getpass.getpass("Once more: ") if password else ""
    except getpass.GetPassWarning:
        raise BadUsage("there is no terminal to ask for the password; pipe it in with --stdin") from None
    except (EOFError, KeyboardInterrupt):
        print(file=sys.stderr)  # the terminal stands behind the question
        raise Interrupted from None
    if password != again:
        raise BadUsage("these were two passwords; nothing was changed")
    return os.fsencode(password)


def _hash(password: bytes) -> str:
    try:
        return argon2.PasswordHasher().hash(password)
    except argon2.exceptions.HashingError as error:
        raise LocalFileTrouble(f"the password could not be hashed: {error}") from None


@contextmanager
def _held(folder: str) -> Iterator[int]:
    """The folder, of which this program is the only one of its kind to change a file."""
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # no locks there
            fcntl.flock(directory, fcntl.LOCK_EX)
        yield directory
    finally:
        os.close(directory)


def _replace(directory: int, name: str, content: bytes, old: os.stat_result | None, file: str) -> None:
    """Put content under a name, durably, owner and mode being those of what was there."""
    temporary = f".ftplite-passwd-{secrets.token_hex(8)}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE, dir_fd=directory)
    try:
        with open(descriptor, "wb") as new:
            new.write(content)
            new.flush()
            _own(descriptor, old, file)
            os.fsync(descriptor)
        os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        os.unlink(temporary, dir_fd=directory)
        raise
    os.fsync(directory)


def _own(descriptor: int, old: os.stat_result | None, file: str) -> None:
    mine = os.fstat(descriptor)
    if old is not None and (old.st_uid, old.st_gid) != (mine.st_uid, mine.st_gid):
        try:
            os.fchown(descriptor, old.st_uid, old.st_gid)
        except PermissionError:
            raise LocalFileTrouble(
                f"{file}: it belongs to another, and would be yours; do this as its owner or as root"
            ) from None
    os.fchmod(descriptor, PRIVATE if old is None else stat.S_IMODE(old.st_mode))


def _say(text: str) -> None:
    try:
        print(escape(text), flush=True)
    except OSError:  # it is done all the same
        _drop_output()


def _drop_output() -> None:
    """What is still buffered would fail again, loudly, when Python leaves."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _complain(text: str) -> None:
    print(f"{PROGRAM}: {escape(text)}", file=sys.stderr)


def _give_up(status: int, text: str) -> int:
    _complain(text)
    return status
