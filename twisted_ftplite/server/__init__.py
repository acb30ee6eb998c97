"""The server, from options to sessions."""
