"""History: which versions of a dataset the terms let be read. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self

from baybridge.errors import Invalid, Place
from baybridge.names import nearest

_FROM: Final = re.compile(r"from\(([1-9][0-9]{0,8})\)")
_FORMS: Final = ("latest", "all", "from(N)")


@dataclass(frozen=True, slots=True)
class History:
    """`first` is the lowest version that may be read, with all after it; None leaves only the latest version."""

    first: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `latest`, `all` or `from(N)`: the inverse of `str`, and `from(1)` is `all`. Raise Invalid (`terms_invalid`)."""
        if text in {"latest", "all"}:
            return cls(None if text == "latest" else 1)
        match = _FROM.fullmatch(text)
        if match is None:
            raise Invalid(
                "terms_invalid",
                "The history of the terms is not one that this server understands.",
                places=(Place("history", f"Known: {', '.join(_FORMS)}, N the number of a version.", hint=nearest(text, _FORMS)),),
            )
        return cls(int(match[1]))

    def __str__(self) -> str:
        if self.first is None:
            return "latest"
        return "all" if self.first == 1 else f"from({self.first})"

    def allows(self, version: int, *, latest: int) -> bool:
        """Whether a read of that version is agreed to."""
        return version == latest if self.first is None else version >= self.first
