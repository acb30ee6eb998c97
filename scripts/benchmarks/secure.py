"""TLS for a theme: one suite for every process, a certificate for all servers, and who speaks it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from functools import partial
from typing import Any

from . import ours
from .frame import Bench
from .peers import Peer, command, in_python, vsftpd
from .processes import Server, environment

VERSION, SUITE = "TLSv1.3", "TLS_AES_128_GCM_SHA256"

CONFIGURATION = f"""openssl_conf = bench
[bench]
ssl_conf = protocols
[protocols]
system_default = defaults
[defaults]
Ciphersuites = {SUITE}
"""
"""OpenSSL's: neither Python before 3.15 nor vsftpd lets one choose the suite of TLS 1.3."""

VSFTPD = """ssl_enable=YES
ssl_tlsv1=YES
ssl_ciphers=HIGH
rsa_cert_file={certificate}
rsa_private_key_file={key}
allow_anon_ssl=YES
force_anon_logins_ssl=YES
force_anon_data_ssl=YES
require_ssl_reuse=NO
"""


def check_spoken(spoken: Sequence[Sequence[str]], least: int) -> None:
    """Raise unless these are the version and suite of ``least`` handshakes or more, and no others."""
    if len(spoken) < least or any([*each] != [VERSION, SUITE] for each in spoken):
        raise AssertionError(f"not {least} times {VERSION} with {SUITE}, but {spoken}")


class Secured:
    """What all servers of a theme share: the configuration of OpenSSL, a certificate and its key."""

    def __init__(self, bench: Bench) -> None:
        from twisted_ftplite.server.certificates import make_self_signed

        self.bench, self.folder = bench, bench.folder / "run" / "tls"
        self.certificate, self.key = make_self_signed(str(self.folder), ["127.0.0.1", "localhost"])
        configuration = self.folder / "openssl.cnf"
        configuration.write_text(CONFIGURATION)
        bench.variables["OPENSSL_CONF"] = str(configuration)

    def server(self) -> tuple[Server, str]:
        """Ours with ``--tls self``, and the fingerprint that it tells of."""
        made = ours.server(self.bench, "--tls", "self", "--tls-folder", str(self.folder), name="ftplite-tls")
        return made, made.told("sha256:[0-9a-f]{64}")

    def peers(self) -> list[Peer]:
        """Those that are measured inside TLS."""
        lines = VSFTPD.format(certificate=self.certificate, key=self.key)
        python = in_python("pyftpdlib", "pyftpdlib", "OpenSSL", more=(self.certificate, self.key))
        return [
            SecurePeer(self.bench, "vsftpd", partial(vsftpd, more=lines)),
            SecurePeer(self.bench, "pyftpdlib", python),
        ]


class SecurePeer(Peer):
    """A peer with which curl speaks TLS on both channels."""

    def __init__(self, bench: Bench, name: str, start: Any) -> None:
        super().__init__(bench, name, start, ("--ssl-reqd", "-k"))
        self._looked = False

    @property
    def server(self) -> Server:
        """The running server, with which curl was seen to speak the suite on both channels."""
        made = super().server
        if not self._looked:
            self._looked = True
            words = [command("curl"), "-sSv", "--noproxy", "*", "--ssl-reqd", "-k", "-l"]
            address = f"ftp://127.0.0.1:{made.port}/"
            told = subprocess.run(
                [*words, address], capture_output=True, env=environment(self.bench), check=True
            )
            found = re.findall(r"SSL connection using (\S+) / (\S+)", told.stderr.decode(errors="replace"))
            check_spoken(found, 2)
        return made


class SecureLibrary(ours.Library):
    """The client library inside TLS: what it speaks is looked at after each job."""

    def do(self, **job: Any) -> dict[str, Any]:
        """See `ours.Library.do`; control and data channel are both counted."""
        done = super().do(**job)
        check_spoken(done["spoken"], 2)
        return done
