"""Arguments of `ftplite-client`, exit statuses, and what it does not import."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest
from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

from twisted_ftplite import errors
from twisted_ftplite.cli import EXIT_STATUS, status_of
from twisted_ftplite.client.arguments import Access, Config, parse, read_address
from twisted_ftplite.client.tcp_arguments import rates_told
from twisted_ftplite.client.troubles import BadUsage, Interrupted, Unreachable
from twisted_ftplite.flow.rates import UNTOLD, Rate, Rates, parse_rate


class AddressTests(SynchronousTestCase):
    def test_spellings(self) -> None:
        for host, port, meant in (
            ("example.org", None, ("example.org", 2121)),
            ("example.org", "99", ("example.org", 99)),
            ("example.org:99", None, ("example.org", 99)),
            ("::1", None, ("::1", 2121)),
            ("[::1]", None, ("::1", 2121)),
            ("[::1]", "99", ("::1", 99)),
            ("[::1]:99", None, ("::1", 99)),
            ("ftplite://example.org", None, ("example.org", 2121)),
            ("FTPLite://example.org:99/", None, ("example.org", 99)),
            ("ftplite://[::1]:99", None, ("::1", 99)),
            ("ftplite://[::1]", "99", ("::1", 99)),
            ("fe80::1%eth0", None, ("fe80::1%eth0", 2121)),
        ):
            assert read_address(host, port)[:2] == meant

    def test_users_and_tls(self) -> None:
        for host, meant in (
            ("alice@a", ("a", 2121, "alice", False)),
            ("ftplite://alice@a:99", ("a", 99, "alice", False)),
            ("ftplites://[::1]:99/", ("::1", 99, None, True)),
            ("FTPLITES://al%40ice%3a@a", ("a", 2121, "al@ice:", True)),
            ("al@ice@a", ("a", 2121, "al@ice", False)),
        ):
            assert read_address(host, None) == meant

    def test_a_password_in_an_address_is_not_repeated(self) -> None:
        for host in ("alice:secret@a", "ftplite://alice:secret@a", "http://alice:secret@a", "alice:secret@"):
            with pytest.raises(BadUsage) as caught:
                read_address(host, None)
            assert "secret" not in str(caught.value)

    def test_what_is_no_address(self) -> None:
        for host, port in (
            ("", None), (":99", None), ("ftplite://", None), ("http://a", None), ("ftplite://a/b", None),
            ("user:pw@a", None), ("@a", None), ("ftplite://u:p@a", None), ("u/p@a", None), ("[::1", None),
            ("[::1]99", None), ("[]", None), ("a:", None), ("a:b", None),
            ("a:0", None), ("a", "0"), ("a", "65536"), ("a", "٣"), ("a:+5", None), ("a:1", "2"), ("a:1", "1"),
        ):  # fmt: skip
            with pytest.raises(BadUsage):
                read_address(host, port)


class ArgumentTests(SynchronousTestCase):
    def check(self, line: str, **expected: object) -> None:
        plain = Config("h", 2121, (), None, None, None, None)
        assert parse(line.split()) == plain._replace(**expected)

    def test_commands(self) -> None:
        self.check("h")
        self.check("h 99", port=99)
        self.check("h ls", command=("ls",))
        self.check("h 99 get a b", port=99, command=("get", "a", "b"))
        self.check("h LS docs", command=("LS", "docs"))

    def test_standard_streams(self) -> None:
        self.check("h get a -", command=("get", "a", "-"))
        self.check("h put - a", command=("put", "-", "a"))

    def test_options_stand_anywhere(self) -> None:
        for line in ("--timeout 1.5 h ls", "h --timeout 1.5 ls", "h ls --timeout 1.5", "h ls --timeout=1.5"):
            self.check(line, command=("ls",), timeout=1.5)
        self.check("h --data-ports 5000-5010", data_ports=(5000, 5010))
        self.check("h --data-ports 5000", data_ports=(5000, 5000))
        for line in ("--checksum sha256 --retries 0 h ls", "h ls --checksum SHA256 --retries 0"):
            self.check(line, command=("ls",), checksum="sha256", retries=0)
        self.check("h --checksum none", checksum="none")

    def test_who_and_how(self) -> None:
        digits = "0f" * 32
        for line, access in (
            ("alice@h", Access("alice")),
            ("h --user alice --password-file f --insecure", Access("alice", "f", True)),
            ("alice@h --user alice", Access("alice")),
            ("ftplites://h", Access(at_once=True)),
            ("h --ca c --client-cert d --client-key e", Access(ca="c", certificate="d", key="e")),
            (
                f"h --pin sha256:{digits} --pin SHA256:{digits.upper()}",
                Access(pins=(f"sha256:{digits}",) * 2),
            ),
            ("h --data PASSIVE", Access(data="passive")),
        ):
            self.check(line, access=access)

    def test_how_tcp_is_used(self) -> None:
        told = (("profile", "bulk"), ("send-buffer", 4_000_000), ("dscp-data", 46))
        self.check("h --dscp-data ef --send-buffer 4M --profile bulk", tcp=told)
        self.check("h get a --congestion bbr", command=("get", "a"), tcp=(("congestion", "bbr"),))
        for line in ("--mss 87 h", "h --send-buffer 1", "h ls --dscp-control AF99", "h --profile fast"):
            with pytest.raises(click.UsageError):
                parse(line.split())

    def test_how_fast(self) -> None:
        self.check("h", tcp=())
        told = parse(["h", "--limit-rate", "2M", "--limit-rate-up", "08:00-18:00=512Ki,else=0"])
        assert told is not None
        assert rates_told(told.tcp) == Rates(parse_rate("08:00-18:00=512Ki,else=0"), Rate(2e6))
        assert rates_told(()) == UNTOLD
        for line in ("h --limit-rate 2m", "h --limit-rate-down 8-18=2M"):
            with pytest.raises(click.UsageError, match="is no "):
                parse(line.split())

    def test_options_of_the_verb(self) -> None:
        self.check("h ls -la", command=("ls", "-la"))
        self.check(
            "h 99 get -c a --timeout 2 --preserve",
            port=99,
            timeout=2.0,
            command=("get", "-c", "a", "--preserve"),
        )
        self.check("h rm -rf -- -x", command=("rm", "-rf", "--", "-x"))
        self.check(
            "h checksum a sha256 --checksum none", command=("checksum", "a", "sha256"), checksum="none"
        )

    def test_names_that_begin_with_a_dash(self) -> None:
        self.check("h get -- -x --help", command=("get", "--", "-x", "--help"))
        self.check("h get a -- -x", command=("get", "a", "--", "-x"))
        self.check("-- h get -x", command=("get", "--", "-x"))
        self.check("h -- get --", command=("get", "--", "--"))
        self.check("h get a --", command=("get", "a"))

    def test_what_may_have_been_meant(self) -> None:
        for line, told in (
            ("--timout 5 h ls", "No such option '--timout'. Did you mean '--timeout'?"),
            ("h --timout=5 ls", "No such option '--timout'. Did you mean '--timeout'?"),
            ("h 99 -x ls", "No such option '-x'."),
            (
                "h ls --timout 5",
                "ls: no such option --timout (did you mean --timeout?); a name that",
            ),
            (
                "h get --presrve a",
                "get: no such option --presrve (did you mean --preserve?); a name that",
            ),
            ("h lcd x", "lcd is for the shell only"),
        ):
            with pytest.raises((BadUsage, click.UsageError)) as caught:
                parse(line.split())
            error = caught.value
            said = error.format_message() if isinstance(error, click.ClickException) else str(error)
            assert said.startswith(told)

    def test_bad_usage(self) -> None:
        for line in (
            "", "h frob", "h get", "h get a b c", "h ls a b", "h put", "h quit", "h -x", "h ls -x", "h 99 98",
            "h --timeout 0", "h --timeout -1", "h --timeout nan", "h --timeout inf", "h --timeout x",
            "h --data-ports 9-8", "h --data-ports 80-90", "h --data-ports 5000-", "h --data-ports 5000-70000",
            "h --data-ports", "h --data-ports 5_000", "h --retries", "h --retries -1", "h --retries x",
            "h --retries 1.5", "h --checksum md5", "h rm", "h mv a", "h mkdir -x a", "h -l ls", "h cd",
            "-l", "-- -l frob", "h lls", "h stat", "h pwd a", "h --data both", "h --pin sha256:0f",
            "h --pin x",
            "bob@h --user alice", "h --password-file f", "h --client-key f", "h --insecure=x", "h --ca",
        ):  # fmt: skip
            with pytest.raises((BadUsage, click.UsageError)):
                parse(line.split())


class StatusTests(SynchronousTestCase):
    def test_every_phrase(self) -> None:
        for each in errors.FAILURES.values():
            assert status_of(each()) == 1
        for each in errors.ERRORS.values():
            assert status_of(each()) == 3

    def test_why_there_is_no_session(self) -> None:
        for cause, status in (
            (errors.LoginFailed(), 1), (errors.LocalFileTrouble(), 4),
            (errors.LimitReached(), 1), (errors.NotSupported(), 1),
            (errors.ConnectionRefused(), 3), (errors.CertificateRefused(), 3),
            (errors.EncryptionRequired("It offers no TLS."), 3),
        ):  # fmt: skip
            error = Unreachable()
            error.__cause__ = cause
            assert status_of(error) == status

    def test_the_rest(self) -> None:
        for error, status in (
            (None, 0), (errors.ProtocolViolation(), 3), (errors.LocalFileTrouble(), 4), (BadUsage(), 2),
            (Unreachable(), 3), (Interrupted(), 130), (KeyboardInterrupt(), 130), (click.UsageError(""), 2),
            (BrokenPipeError(), 4), (ZeroDivisionError(), 3), (CancelledError(), 3),
        ):  # fmt: skip
            assert status_of(error) == status
        assert set(EXIT_STATUS.values()) <= {1, 2, 3, 4, 130}


class ImportTests(SynchronousTestCase):
    """A command is quick to start because of what it leaves out."""

    def modules(self, *arguments: str) -> set[str]:
        program = (
            "import sys; from twisted_ftplite.cli import main; status = main(sys.argv[1:]);"
            " print('modules', *sys.modules); sys.exit(status)"
        )
        done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True)
        assert done.stderr == ""
        return set(done.stdout.rpartition("modules")[2].split())

    def test_help_and_version_import_next_to_nothing(self) -> None:
        for option in ("--help", "--version"):
            loaded = self.modules(option)
            assert "click" in loaded
            for heavy in ("twisted", "rich", "prompt_toolkit", "platformdirs", "asyncio"):
                assert heavy not in loaded, option
