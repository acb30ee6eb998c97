"""Every phrase of the protocol that is not a success, and its exception: one table, both directions.

A phrase is what a program decides by (docs/protocol.md, section 7).  The server raises one of these
classes to refuse or to break off a command; the client raises the same class when it reads the phrase.
The text after the phrase is detail for people and takes part in nothing.
"""

from __future__ import annotations

import errno
from typing import ClassVar


class FTPLiteError(Exception):
    """What went wrong with a command.  ``detail`` is for people; it never holds text from the system."""

    kind: ClassVar[str] = "ERROR"
    phrase: ClassVar[str] = "Internal error."
    closes: ClassVar[bool] = False
    """The server ends the session behind this status."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail)
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.phrase} {self.detail}" if self.detail else self.phrase


class Failure(FTPLiteError):
    """Understood, but the answer is no; the session goes on."""

    kind = "FAILURE"


class Broken(FTPLiteError):
    """The protocol, a channel or the server broke; the command is over."""

    kind = "ERROR"


class FileNotFound(Failure):
    phrase = "File not found."


class PermissionDenied(Failure):
    phrase = "Permission denied."


class FileExists(Failure):
    phrase = "File exists."


class IsADirectory(Failure):
    phrase = "Is a directory."


class NotADirectory(Failure):
    phrase = "Not a directory."


class NotARegularFile(Failure):
    phrase = "Not a regular file."


class DirectoryNotEmpty(Failure):
    phrase = "Directory not empty."


class NameNotAllowed(Failure):
    phrase = "Name not allowed."


class LoginRequired(Failure):
    phrase = "Login required."


class LoginFailed(Failure):
    phrase = "Login failed."


class EncryptionRequired(Failure):
    phrase = "Encryption required."


class DiskFull(Failure):
    phrase = "Disk full."


class FileTooLarge(Failure):
    phrase = "File too large."


class QuotaExceeded(Failure):
    phrase = "Quota exceeded."


class LimitReached(Failure):
    phrase = "Limit reached."


class SizeMismatch(Failure):
    phrase = "Size mismatch."


class ChecksumMismatch(Failure):
    phrase = "Checksum mismatch."


class FileChanged(Failure):
    phrase = "File changed."


class TransferCancelled(Failure):
    phrase = "Transfer cancelled."


class OffsetNotValid(Failure):
    phrase = "Offset not valid."


class NotSupported(Failure):
    phrase = "Not supported."


class BundleIncomplete(Failure):
    phrase = "Bundle incomplete."


class UnknownCommand(Broken):
    phrase = "Unknown command."


class BadSyntax(Broken):
    phrase = "Bad syntax."


class UnexpectedMessage(Broken):
    phrase = "Unexpected message."


class NotUTF8(Broken):
    phrase = "Not UTF-8."


class PortNotAllowed(Broken):
    phrase = "Port not allowed."


class ConnectionRefused(Broken):
    phrase = "Connection refused."


class ConnectionLost(Broken):
    phrase = "Connection lost."


class StorageFailed(Broken):
    phrase = "Storage failed."


class InternalError(Broken):
    phrase = "Internal error."


class LineTooLong(Broken):
    phrase = "Line too long."
    closes = True


class ConnectionTimedOut(Broken):
    """Of a data channel, or (and then the server closes) of a silent session."""

    phrase = "Connection timed out."


class TooManyConnections(Broken):
    phrase = "Too many connections."
    closes = True


class TooManyFailures(Broken):
    phrase = "Too many failures."
    closes = True


class ServerShuttingDown(Broken):
    phrase = "Server shutting down."
    closes = True


class ProtocolViolation(FTPLiteError):
    """The peer said what the protocol does not allow; never sent, only raised.  The connection is over."""

    phrase = "The other side broke the protocol."


class LocalFileTrouble(FTPLiteError):
    """A file on the client's own side could not be read or written: its name, and why.  Never on the wire."""

    phrase = "Local file trouble."

    def __init__(self, detail: str = "", cause: OSError | None = None) -> None:
        super().__init__(detail)
        self.cause = cause
        """What the system said, where it was the system."""

    def __str__(self) -> str:
        return self.detail or self.phrase


class CertificateRefused(FTPLiteError):
    """The other side's certificate is not trusted; never on the wire."""

    phrase = "The certificate is not trusted."

    def __init__(self, detail: str = "", code: int | None = None, certificate: bytes | None = None) -> None:
        super().__init__(detail)
        self.code = code
        """OpenSSL's X509_V_ERR number, where it was a check of OpenSSL's."""

        self.certificate = certificate
        """The certificate in DER, where it is known."""


def _leaves(parent: type[FTPLiteError]) -> dict[str, type[FTPLiteError]]:
    return {each.phrase: each for each in parent.__subclasses__()}


FAILURES = _leaves(Failure)
"""``FAILURE`` phrases, each with its exception."""

ERRORS = _leaves(Broken)
"""``ERROR`` phrases, each with its exception."""

_BY_ERRNO: dict[int, type[FTPLiteError]] = {
    errno.ENOENT: FileNotFound,
    errno.ELOOP: FileNotFound,
    errno.EXDEV: FileNotFound,  # openat2: the path would leave the tree
    errno.EACCES: PermissionDenied,
    errno.EPERM: PermissionDenied,
    errno.EROFS: PermissionDenied,
    errno.ETXTBSY: PermissionDenied,
    errno.EEXIST: FileExists,
    errno.EISDIR: IsADirectory,
    errno.ENOTDIR: NotADirectory,
    errno.ENOTEMPTY: DirectoryNotEmpty,
    errno.ENAMETOOLONG: NameNotAllowed,
    errno.EILSEQ: NameNotAllowed,
    errno.ENXIO: NotARegularFile,
    errno.ENOSPC: DiskFull,
    errno.EDQUOT: QuotaExceeded,
    errno.EFBIG: FileTooLarge,
    errno.EMFILE: LimitReached,
    errno.ENFILE: LimitReached,
}


def from_oserror(failure: OSError) -> FTPLiteError:
    """The border between the system's errors and ours; what is not in the table is ``Storage failed.``

    Raise the result ``from`` the original: its text goes to the log and never to the peer.
    """
    return _BY_ERRNO.get(failure.errno or 0, StorageFailed)()
