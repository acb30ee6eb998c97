"""What a client has said about the running transfer."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import BadSyntax


@dataclass(slots=True)
class Transfer:
    """One transfer, from step 2 to its end."""

    receives: bool
    """Whether the server is the one that receives."""

    size: int | None = None
    """Bytes announced by the client; None while unknown."""

    completed: bool = False
    """Whether the client's completion has come."""

    workings: int = 0
    """How often the client has said that it is busy."""

    def tell_size(self, size: int) -> bool:
        """Whether this is news.  Raises `BadSyntax` where another size was told before."""
        if self.size is not None and self.size != size:
            raise BadSyntax("Another file size was told before.")
        news = self.size is None
        self.size = size
        return news
