"""What `scripts/soak` does: breaks transfers in every way it can, and looks whether all is as it must be.

The tests under tests/integration run a short form of each.
"""
