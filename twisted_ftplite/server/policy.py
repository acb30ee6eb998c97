"""What is refused at the start: what nobody can have meant, and what would leave a tree open."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from twisted.internet.interfaces import IAddress

from ..flow.addresses import plain_host
from ..flow.feasible import trouble_with
from .config import CannotStart, Config
from .privileges import stays_root

_DOES = {"read": "to read", "write": "to read and write", "drop": "to store only"}


def is_proxied(description: str) -> bool:
    """Whether a proxy tells who the peer is."""
    return description.partition(":")[0] == "haproxy"


def is_secure(description: str) -> bool:
    """Whether an endpoint speaks TLS from the first byte."""
    return description.partition(":")[0] in ("ssl", "tls")


def plain_endpoint(description: str) -> str:
    """The endpoint below the TLS of one that begins with it, which the server speaks itself."""
    kind, colon, rest = description.partition(":")
    return f"tcp{colon}{rest}" if kind in ("ssl", "tls") else description


def is_beyond_loopback(description: str, address: IAddress) -> bool:
    """Whether somebody on another machine can reach a port: what a proxy listens for, it passes on."""
    host = getattr(address, "host", None)  # a Unix socket has none
    return is_proxied(description) or (host is not None and not plain_host(host).is_loopback)


def requires_tls(config: Config, *, beyond: bool) -> bool:
    """Whether those who speak no TLS are not served."""
    if config.require_tls is None:
        return beyond and config.certificate is not None
    return config.require_tls


def check_words(config: Config) -> None:
    """Raise `CannotStart` for options that do not go together, whatever the server listens on."""
    if config.key is not None and config.certificate is None:
        raise CannotStart("--tls-key comes with no certificate; name it by --tls-cert")
    if config.certificate is not None and config.key is None:
        raise CannotStart("--tls-cert comes with no key; name it by --tls-key")
    if config.certificate is not None:
        return
    for needs in (
        "--client-ca" if config.client_ca is not None else "",
        "--require-tls" if config.require_tls else "",
        *(f"--listen {each}" for each in config.endpoints if is_secure(each)),
    ):
        if needs:
            raise CannotStart(
                f"{needs} needs a certificate of the server; name it by --tls-cert and --tls-key, "
                "or have one made by --tls self"
            )


def check_ports(config: Config, *, beyond: bool) -> str:
    """Raise `CannotStart` for what may not be served on the ports that were bound.

    Returns a warning in one line, or "".
    """
    if not beyond:
        if not stays_root(config):
            return ""
        return (
            "The server runs as root, whose power it does not need; "
            "have twistd drop it with -u USER before the word ftplite."
        )
    if config.anonymous is None and not config.has_logins:
        raise CannotStart(
            "other machines can reach this server: say who may come in, by --users FILE, --client-ca FILE "
            "or --anonymous read, write or drop (or listen on 127.0.0.1 alone)"
        )
    if config.users is not None and config.certificate is None and not config.plain_passwords:
        raise CannotStart(
            "--users beyond loopback needs TLS, or passwords would go out in the clear; say --tls-cert and "
            "--tls-key, or --tls self, or allow it by --allow-plain-passwords"
        )
    if stays_root(config) and not config.allow_root:
        raise CannotStart(
            "root does not serve beyond loopback; have twistd drop its power with -u USER before the word "
            "ftplite, or insist by --allow-root"
        )
    return ""


def check_files(config: Config, roots: Iterable[str]) -> None:
    """Raise `CannotStart` if a file of the server's lies where clients could read and replace it."""
    trees = [os.path.realpath(root) for root in roots]
    for option, path in (
        ("pidfile", config.pid_file),
        ("logfile", config.log_file),
        ("users", config.users),
        ("client-ca", config.client_ca),
        ("tls-cert", config.certificate),
        ("tls-key", config.key),
    ):
        if path is not None:
            check_place(option, path, trees)


def check_place(option: str, path: str, trees: Iterable[str]) -> None:
    """Raise `CannotStart` if what an option names, or a link that leads to it, lies in one of the trees."""
    for place in _places(path):
        for tree in trees:
            if os.path.commonpath([tree, place]) == tree:
                raise CannotStart(f"{place} would lie inside the served tree; {_outside(option)}")


def check_tuning(config: Config) -> None:
    """Raise `CannotStart` for what this kernel does not do with TCP, or not for whom twistd becomes."""
    trouble = trouble_with(config.tuning, as_root=os.geteuid() == 0 and config.uid in (None, 0))
    if trouble is not None:
        raise CannotStart(trouble)


def check_bounds(roots: Iterable[str], bounds: Iterable[str] | None) -> None:
    """Raise `CannotStart` for a tree that the sandbox, once entered, lets nobody serve."""
    if bounds is None:
        return
    bounds = [os.path.realpath(each) for each in bounds]
    for root in roots:
        if not any(os.path.commonpath([each, root]) == each for each in bounds):
            raise CannotStart(f"{root} lies outside the sandbox; start the server anew to have it served")


def whom(config: Config, *, beyond: bool) -> str:
    """To whom the tree is served, for the line at the start."""
    found = []
    if config.users is not None:
        found.append(f"to users of {config.users}")
    if config.client_ca is not None:
        found.append(f"to those with a certificate of {config.client_ca}")
    if config.access is not None:
        anyone = "anyone who can reach it" if beyond else "anyone on this machine"
        found.append(f"to {anyone}, {_DOES[config.access]}")
    return "; ".join(found)


def _outside(option: str) -> str:
    """What to do about a file inside the served tree."""
    match option:
        case "pidfile":
            return "put --pidfile with a path outside it (or --pidfile= for none) before the word ftplite"
        case "logfile":
            return "put --logfile (of twist: --log-file) with a path outside it before the word ftplite"
        case _:
            return f"name one outside it by --{option}"


def _places(path: str) -> Iterator[str]:
    """Where a file is, and where each link stands that leads to it: it might be replaced, too."""
    yield os.path.realpath(path)
    while path not in ("", os.sep):
        folder, name = os.path.split(path)
        yield os.path.join(os.path.realpath(folder), name)
        path = folder
