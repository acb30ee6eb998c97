"""What `scripts/soak` does: breaks transfers in every way it can, and looks whether all is as it must be.

The tests under tests/integration run a short form of each, and lend it what they have: servers, the wire by
hand, users and certificates.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / "tests" / "integration"))
