"""Code lists: which broader code stands for each code of a column. The terms carry them whole, so that both sides sign them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from baybridge.errors import Invalid, Place
from baybridge.names import parse_organization
from baybridge.terms.cql2.nodes import is_writable
from baybridge.wire.terms import CodeListShape

MAX_CODE: Final = 200


@dataclass(frozen=True, slots=True)
class CodeList:
    """Codes with their broader codes, in the order of the codes. `otherwise` stands for every other code: none passes through."""

    name: str
    codes: tuple[tuple[str, str], ...]
    otherwise: str

    @classmethod
    def parse(cls, name: str, shape: CodeListShape) -> Self:
        """Raise Invalid (`terms_invalid`, `invalid_request`) for an empty list, or a text that is not a code."""
        if not shape.codes:
            raise _invalid("A code list has at least one code.")
        if not all(_is_code(text) for text in shape.codes):
            raise _invalid(f"A code is a text of 1 to {MAX_CODE} characters that a filter could hold.")
        if not all(_is_code(text) and text.isprintable() for text in (*shape.codes.values(), shape.otherwise)):
            raise _invalid(f"A broader code is a printable text of 1 to {MAX_CODE} characters.")
        return cls(parse_organization(name, parameter="code_lists"), tuple(sorted(shape.codes.items())), shape.otherwise)

    def shape(self) -> CodeListShape:
        """The list as it travels: parsing it gives the same list."""
        return CodeListShape(codes=dict(self.codes), otherwise=self.otherwise)


def _is_code(text: str) -> bool:
    return 1 <= len(text) <= MAX_CODE and is_writable(text)


def _invalid(rule: str) -> Invalid:
    return Invalid("terms_invalid", f"The terms break a rule: {rule}", places=(Place("code_lists", rule),))
