"""What must be told nowhere: a password with a word in it that stands nowhere else, and cheap hashes."""

from __future__ import annotations

import argon2

SECRET = "Hush-hush"
_hasher = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1, hash_len=16, salt_len=8)
HASHES = (_hasher.hash(SECRET, salt=b"saltsalt"), _hasher.hash("other", salt=b"saltsalt"))
"""Of `SECRET` and of something else; the same in every run."""
