"""Fingerprints of certificates: ``sha256:`` and 64 hexadecimal digits."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Final

from ..errors import BadSyntax

_SPELLED: Final = re.compile(r"sha256:((?:[0-9a-f]{2}:?){31}[0-9a-f]{2})", re.ASCII)


def fingerprint(certificate: bytes) -> str:
    """That of a certificate in DER."""
    return f"sha256:{sha256(certificate).hexdigest()}"


def read_fingerprint(text: str) -> str:
    """A fingerprint in its one spelling; colons between its bytes are allowed.  Raises `BadSyntax`."""
    match = _SPELLED.fullmatch(text.lower())
    if match is None:
        raise BadSyntax("a fingerprint is sha256: and 64 hexadecimal digits")
    return f"sha256:{match[1].replace(':', '')}"
