"""What `scripts/fuzz` does: feeds nonsense to what reads from the wire, and looks whether it breaks.

tests/integration/test_fuzz.py runs a short form of it, without atheris.
"""
