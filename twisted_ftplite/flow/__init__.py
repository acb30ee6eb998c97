"""How bytes move through the reactor."""
