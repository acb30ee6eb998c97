"""What `scripts/bench` measures, a file a theme.  Nothing here is part of the installed package."""
