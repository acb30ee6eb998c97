"""Finding names beneath one directory, and nothing outside it, through symbolic links either.

What is found is only ever opened with ``O_PATH``: that opens no FIFO and no device, and whoever holds
the descriptor asks it what it is before opening it for real (`reopen`).  All paths here are bytes,
relative to the root, with ``/`` between segments; ``b"."`` is the root.  Everything raises a bare
`OSError`; a path that leads outside is ``EXDEV``.

No path is ever looked at first and opened by its name later: between the two a directory may have become
a link.  The kernel's openat2(2) does the whole walk in one call; where there is none, the walk is made
here, a segment at a time, none of which follows a link.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import sys

_OPENAT2 = 437  # the number of the call: the same on every architecture but Alpha
_RESOLVE_NO_XDEV = 0x01
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_NO_SYMLINKS = 0x04
_RESOLVE_BENEATH = 0x08
_RESOLVE_CACHED = 0x20  # Linux 5.12

_ATTEMPTS = 64
"""Calls of openat2 before giving up on it: a rename anywhere in the system can make one say EAGAIN."""

_LONGEST_PATH = 4095
"""Bytes the kernel takes in one call; what is longer is walked."""

_LINKS = 40
"""Links on the way to one name, as in the kernel."""

_STEPS = 16_384
"""Segments opened on the way to one name: after each ``..`` the walk begins anew."""

_LOCAL_FILE_SYSTEMS = frozenset(
    (
        0xEF53,  # ext2, ext3, ext4
        0x58465342,  # xfs
        0x9123683E,  # btrfs
        0x794C7630,  # overlayfs
    )
)
_TMPFS = 0x01021994


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_SYSCALL = (ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.POINTER(_OpenHow), ctypes.c_size_t)


class Jail:
    """A directory, held open, and the finding of what is beneath it.  Any thread may use it.

    ``walk`` makes it do without openat2 also where the system has it.  Raises the `OSError` of opening
    ``root``, or one that says that ``/proc`` is missing, without which nothing found could be opened.
    """

    def __init__(self, root: str, *, walk: bool = False) -> None:
        self.notice = ""
        """What the operator should know: one line, or nothing."""
        libc = ctypes.CDLL(None, use_errno=True)
        self._syscall = libc.syscall
        self._syscall.restype = ctypes.c_long
        self._syscall.argtypes = _SYSCALL
        self._root = os.open(root, os.O_PATH | os.O_DIRECTORY)
        try:
            if not os.path.exists(_by_descriptor(self._root)):
                raise FileNotFoundError(errno.ENOENT, "FTPLite needs the /proc file system", "/proc/self/fd")
            self._walks = walk or not self._probe()
            kind = _file_system(libc, self._root)
            self.in_memory = kind == _TMPFS
            """Whether the root's file system has no disk to wait for."""
            local = self.in_memory or kind in _LOCAL_FILE_SYSTEMS
            self.answers_from_cache = local and not self._walks and self._probe_cached()
            """Whether `find_cached` is worth a call."""
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the root; a second call does nothing."""
        root, self._root = self._root, -1
        if root >= 0:
            os.close(root)

    def find(self, path: bytes) -> int:
        """A new ``O_PATH`` descriptor, which the caller closes, of what ``path`` leads to."""
        return self._find(path, 0)

    def find_itself(self, path: bytes) -> int:
        """The same, of the link itself where the last name is one."""
        return self._find(path, os.O_NOFOLLOW)

    def find_directory(self, path: bytes, *, links: bool = True) -> int:
        """The same for a directory (else ``ENOTDIR``); without ``links`` none is followed (``ELOOP``)."""
        return self._find(path, os.O_DIRECTORY, 0 if links else _RESOLVE_NO_SYMLINKS)

    def open_directory(self, path: bytes) -> int:
        """A directory to list, on the way to which no link is followed (``ELOOP``); the caller closes it."""
        found = self.find_directory(path, links=False)
        try:
            return reopen(found, os.O_RDONLY | os.O_DIRECTORY)
        finally:
            os.close(found)

    def find_cached(self, path: bytes) -> int:
        """`find` from what the kernel holds in memory, never waiting; ``EAGAIN`` where that is not enough.

        It stays on the root's own mount: another one may be a network's, where even fstat(2) waits.
        So here ``EXDEV`` does not mean that the path leads outside.
        """
        return self._openat2(path, os.O_PATH, _RESOLVE_CACHED | _RESOLVE_NO_XDEV)

    def _find(self, path: bytes, flags: int, resolve: int = 0) -> int:
        if not self._walks and len(path) <= _LONGEST_PATH:
            for _ in range(_ATTEMPTS):
                try:
                    return self._openat2(path, os.O_PATH | flags, resolve)
                except (BlockingIOError, InterruptedError):
                    continue
        follow_last = not flags & os.O_NOFOLLOW
        found = self._walk(path, links=resolve != _RESOLVE_NO_SYMLINKS, follow_last=follow_last)
        if flags & os.O_DIRECTORY:
            try:
                _check_directory(found)
            except OSError:
                os.close(found)
                raise
        return found

    def _openat2(self, path: bytes, flags: int, resolve: int) -> int:
        if b"\0" in path:  # ctypes would cut it there
            raise _failure(errno.EILSEQ)
        how = _OpenHow(flags | os.O_CLOEXEC, 0, _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS | resolve)
        found: int = self._syscall(_OPENAT2, self._root, path, how, ctypes.sizeof(how))
        if found < 0:
            raise _failure(ctypes.get_errno())
        return found

    def _walk(self, path: bytes, *, links: bool, follow_last: bool) -> int:
        """What openat2 does, by hand."""
        ahead = _segments(path)  # the next one is the last
        passed: list[bytes] = []  # the names between the root and here, none of which was a link
        here = os.open(".", os.O_PATH, dir_fd=self._root)
        links_left = _LINKS if links else 0
        steps_left = _STEPS
        try:
            while ahead:
                name = ahead.pop()
                if name in (b"", b".", b".."):
                    _check_directory(here)
                if name in (b"", b"."):
                    continue
                steps_left -= 1
                if not steps_left:
                    raise _failure(errno.ELOOP)
                if name == b"..":
                    # Not by opening "..": where the directory was moved, that may lie outside.
                    if not passed:
                        raise _failure(errno.EXDEV)
                    ahead += passed[-2::-1]
                    passed.clear()
                    here = _replace(here, os.open(".", os.O_PATH, dir_fd=self._root))
                    continue
                found = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=here)
                if (ahead or follow_last) and stat.S_ISLNK(os.fstat(found).st_mode):
                    ahead += _follow(found, links_left)
                    links_left -= 1
                    continue
                passed.append(name)
                here = _replace(here, found)
        except BaseException:
            os.close(here)
            raise
        return here

    def _probe(self) -> bool:
        """Whether openat2 is to be had; if not, `notice` says why."""
        try:
            os.close(self._openat2(b".", os.O_PATH, 0))
        except OSError as failure:
            # ENOSYS: an old kernel; EPERM: a seccomp filter; and some filters say something else again.
            self.notice = (
                "openat2(2) is not to be had here "
                f"({failure.strerror}): names are looked up segment by segment, which is slower."
            )
            return False
        return True

    def _probe_cached(self) -> bool:
        try:
            os.close(self.find_cached(b"."))
        except OSError as failure:
            return failure.errno == errno.EAGAIN
        return True


def reopen(found: int, flags: int) -> int:
    """Open for real what `Jail` found: a new descriptor of the very same file, whatever its name is now."""
    return os.open(_by_descriptor(found), flags)


def _by_descriptor(descriptor: int) -> str:
    return f"/proc/self/fd/{descriptor}"


def _failure(code: int) -> OSError:
    return OSError(code, os.strerror(code))


def is_in_memory(descriptor: int | None) -> bool:
    """Whether a file lies where there is no disk to wait for; False where that cannot be told."""
    if sys.platform != "linux" or descriptor is None:
        return False
    return _file_system(ctypes.CDLL(None, use_errno=True), descriptor) == _TMPFS


def _file_system(libc: ctypes.CDLL, descriptor: int) -> int:
    """The ``f_type`` of statfs(2); 0 where it cannot be told."""
    answer = (ctypes.c_long * 32)()  # 256 bytes: more than any architecture's struct statfs
    return 0 if libc.fstatfs(descriptor, answer) else answer[0]


def _replace(old: int, new: int) -> int:
    os.close(old)
    return new


def _follow(link: int, links_left: int) -> list[bytes]:
    """The segments of a link's target, the first one last.  Closes ``link``."""
    try:
        if not links_left:
            raise _failure(errno.ELOOP)
        target = os.readlink(b"", dir_fd=link)
    finally:
        os.close(link)
    return _segments(target)


def _segments(path: bytes) -> list[bytes]:
    """The first one last."""
    if path.startswith(b"/"):
        raise _failure(errno.EXDEV)
    return path.split(b"/")[::-1]


def _check_directory(found: int) -> None:
    if not stat.S_ISDIR(os.fstat(found).st_mode):
        raise _failure(errno.ENOTDIR)
