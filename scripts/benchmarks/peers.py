"""The peers: FTP servers that the machine has, and the clients that measure them.

Commands are looked for on PATH and in the folder that the environment variable BENCH_PEERS names, where
packages that Debian cannot install side by side were unpacked: ``dpkg -x vsftpd_*.deb FOLDER``, likewise
proftpd-core and the libraries it needs.
"""

from __future__ import annotations

import ftplib
import os
import pwd
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from .frame import Bench, NotInstalled
from .machine import check_file, warm_pages
from .processes import Server, free_port, module, timed
from .steps import send_file, swallow

UNPACKED = os.environ.get("BENCH_PEERS", "")
BINARIES = ("usr/sbin", "usr/bin", "sbin", "bin", ".")

VSFTPD = """listen=YES
listen_address={host}
listen_port={port}
background=NO
anonymous_enable=YES
no_anon_password=YES
ftp_username={user}
anon_root={root}
local_enable=NO
write_enable=YES
anon_upload_enable=YES
anon_mkdir_write_enable=YES
anon_other_write_enable=YES
anon_umask=022
seccomp_sandbox=NO
secure_chroot_dir={run}
xferlog_enable=NO
dirmessage_enable=NO
max_clients=0
max_per_ip=0
idle_session_timeout=7200
data_connection_timeout=600
connect_from_port_20=NO
pasv_promiscuous=YES
"""

PROFTPD = """ServerName bench
ServerType standalone
ModulePath {modules}
DefaultAddress {host}
Port {port}
SocketBindTight on
UseIPv6 off
User nobody
Group nogroup
MaxInstances none
UseSendfile on
UseReverseDNS off
DelayEngine off
WtmpLog off
TransferLog none
SystemLog {run}/proftpd-system.log
PidFile {run}/proftpd.pid
ScoreboardFile {run}/proftpd.score
AuthOrder mod_auth_unix.c
RequireValidShell off
AllowOverwrite on
TimeoutIdle 7200
TimeoutLogin 0
<Anonymous {root}>
User nobody
Group nogroup
UserAlias anonymous nobody
AnonRequirePassword off
</Anonymous>
"""


def command(name: str) -> str:
    """Where a command is; raises `NotInstalled`."""
    places = [str(Path(UNPACKED, each)) for each in BINARIES] if UNPACKED else []
    found = shutil.which(
        name, path=os.pathsep.join([*places, os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    )
    if found is None:
        raise NotInstalled("not installed")
    return found


def _libraries() -> str:
    """Where the libraries of what was unpacked lie."""
    found = [str(each) for each in Path(UNPACKED).glob("usr/lib/*-linux-gnu")] if UNPACKED else []
    return os.pathsep.join([*found, os.environ.get("LD_LIBRARY_PATH", "")]).strip(os.pathsep)


def _needs_root() -> None:
    if os.geteuid() != 0:
        raise NotInstalled("needs root")


def _user() -> str:
    """Somebody without rights whose home exists, as vsftpd wants of its anonymous user."""
    for name in ("ftp", "nobody", "daemon", "www-data"):
        with suppress(KeyError):
            if Path(pwd.getpwnam(name).pw_dir).is_dir():
                return name
    raise NotInstalled("no user for it")


def vsftpd(bench: Bench, *, more: str = "") -> Server:
    """vsftpd, anonymous and allowed to write into `up`; ``more`` lines of configuration."""
    binary, port = command("vsftpd"), free_port()
    _needs_root()
    empty = bench.folder / "run" / "empty"
    empty.mkdir(mode=0o555, exist_ok=True)
    configuration = bench.folder / "run" / "vsftpd.conf"
    lines = VSFTPD.format(host=bench.host, port=port, root=bench.served, run=empty, user=_user())
    configuration.write_text(lines + more)
    return Server(bench, "vsftpd", port, [binary, configuration], LD_LIBRARY_PATH=_libraries())


def proftpd(bench: Bench) -> Server:
    """proftpd, likewise."""
    binary, port = command("proftpd"), free_port()
    _needs_root()
    run = bench.folder / "run"
    modules = Path(binary).parent.parent / "lib" / "proftpd"
    configuration = run / "proftpd.conf"
    configuration.write_text(
        PROFTPD.format(host=bench.host, port=port, root=bench.served, run=run, modules=modules)
    )
    return Server(
        bench, "proftpd", port, [binary, "-n", "-q", "-c", configuration], LD_LIBRARY_PATH=_libraries()
    )


def in_python(name: str, *packages: str, more: tuple[str, ...] = ()) -> Callable[[Bench], Server]:
    """What starts one of `peer_server`'s; ``more`` are its other arguments."""

    def start(bench: Bench) -> Server:
        if None in map(find_spec, packages):
            raise NotInstalled("not installed")
        port = free_port()
        return Server(bench, name, port, module("peer_server", name, port, bench.served, *more))

    return start


PEERS: dict[str, Callable[[Bench], Server]] = {
    "vsftpd": vsftpd,
    "proftpd": proftpd,
    "pyftpdlib": in_python("pyftpdlib", "pyftpdlib"),
    "twisted.protocols.ftp": in_python("twisted.protocols.ftp", "twisted"),
    "aioftp": in_python("aioftp", "aioftp"),
}
bare_twisted = in_python("bare", "twisted")


class Peer:
    """One FTP server, started when it is first measured, and what can be done with it."""

    def __init__(
        self,
        bench: Bench,
        name: str,
        start: Callable[[Bench], Server] | None = None,
        curl_options: tuple[str, ...] = (),
    ) -> None:
        """``start`` makes the server, where that is not the one of `PEERS`."""
        self.bench, self.name = bench, name
        self._start = start or PEERS[name]
        self._curl_options = curl_options
        self._server: Server | None = None
        self._missing: Exception | None = None

    @property
    def server(self) -> Server:
        """The running server; raises `NotInstalled`."""
        if self._server is None:
            self._server = self._start(self.bench)
        return self._server

    def url(self, path: str = "") -> str:
        """For curl."""
        return f"ftp://{self.server.host}:{self.server.port}/{path}"

    def _login(self) -> ftplib.FTP:
        control = ftplib.FTP()
        control.connect("127.0.0.1", self.server.port, timeout=60)
        control.login()
        control.voidcmd("TYPE I")
        return control

    def to_sink(self, source: Path) -> float:
        """Down into one reused buffer, login included; GB/s."""
        _ = self.server
        start = time.perf_counter()
        control = self._login()
        with control.transfercmd(f"RETR {source.name}") as data:
            data.settimeout(None)
            total = swallow(data)
        control.voidresp()
        seconds = time.perf_counter() - start
        control.close()
        if total != source.stat().st_size:
            raise AssertionError(f"{total} bytes arrived")
        return total / seconds / 1e9

    def from_sendfile(self, source: Path) -> float:
        """Up by sendfile, login included; GB/s."""
        name, size = f"up/{self.server.name}.bin", source.stat().st_size
        target = self._room_for(name, size)
        start = time.perf_counter()
        control = self._login()
        with control.transfercmd(f"STOR {name}") as data, source.open("rb") as file:
            data.settimeout(None)
            send_file(data, file.fileno(), size)
        control.voidresp()
        seconds = time.perf_counter() - start
        control.close()
        check_file(target, source)
        return size / seconds / 1e9

    def _room_for(self, name: str, size: int) -> Path:
        target = self.bench.served / name
        with suppress(FileNotFoundError):
            target.unlink()
        warm_pages(self.bench.folder, size)
        return target

    def curl_down(self, source: Path, target: Path | None) -> float:
        """Down with curl, to the null device or to a file; GB/s, curl's start-up included."""
        size = source.stat().st_size
        words = self._curl("-o", str(target or os.devnull), self.url(source.name))
        if target is not None:
            warm_pages(self.bench.folder, size)
        seconds = timed(self.bench, words)
        if target is not None:
            check_file(target, source)
        return size / seconds / 1e9

    def curl_up(self, source: Path) -> float:
        """Up with curl; GB/s, curl's start-up included."""
        name, size = f"up/{self.server.name}.bin", source.stat().st_size
        words = self._curl("-T", str(source), self.url(name))
        target = self._room_for(name, size)
        seconds = timed(self.bench, words)
        check_file(target, source)
        return size / seconds / 1e9

    def curl_list(self) -> float:
        """The names of a small directory; seconds."""
        return timed(self.bench, self._curl("-l", self.url("few/")))

    def _curl(self, *words: str) -> list[str]:
        return [command("curl"), "-sS", "--noproxy", "*", *self._curl_options, *words]

    def lftp(self, script: str) -> float:
        """A script of lftp on a session with this server; seconds, lftp's start-up included."""
        settings = "set net:max-retries 2; set net:timeout 20; set net:reconnect-interval-base 1"
        return timed(
            self.bench,
            [command("lftp"), "-c", f"{settings}; open -p {self.server.port} {self.server.host}; {script}"],
        )
