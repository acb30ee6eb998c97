"""The wire, pure: bytes and strings in, values out."""
