"""Makes ``twistd ftplite`` and ``twist ftplite`` known to Twisted's plugin system."""

from twisted.application.service import ServiceMaker

ftplite = ServiceMaker(
    "FTPLite",
    "twisted_ftplite.tap",
    "Serve a folder over FTPLite: whole, durable file transfers.",
    "ftplite",
)
