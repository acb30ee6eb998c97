"""FTPLite: file transfers that are whole and durable when they say SUCCESS.

The server is ``twistd ftplite``, the command is ``ftplite-client``, and the library under it is
:mod:`twisted_ftplite.client`.  Importing this package imports nothing else.
"""

__version__ = "0.1.0"
