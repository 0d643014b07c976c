"""Filter text to tokens. It knows what a word, a name, a text and a number look like, and nothing of how they go together."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from baybridge.terms.cql2 import refusals
from baybridge.terms.cql2.nodes import has_control, is_writable
from baybridge.terms.cql2.refusals import refusal

# `identifierStart` and `identifierPart` of cql2.bnf 1.0.0, spelled out so that no Unicode table of a Python version decides what a name is.
_START: Final = (
    r":_A-Za-z\u00C0-\u00D6\u00D8-\u00F6\u00F8-\u02FF\u0370-\u037D\u037F-\u1FFE\u200C\u200D\u2070-\u218F\u2C00-\u2FEF\u3001-\uD7FF"
    r"\uF900-\uFDCF\uFDF0-\uFFFD\U00010000-\U000EFFFF"
)
_PART: Final = _START + r".0-9\u0300-\u036F\u203F\u2040"
# Possessive repetition (`*+`) keeps a text that is never closed from being read again as two shorter ones.
_TOKEN: Final = re.compile(
    rf"""
    (?P<SPACE>[ \t\r\n]++)
  | (?P<WORD>[{_START}][{_PART}]*+)
  | (?P<NUMBER>[+-]?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]++)?)
  | '(?P<TEXT>(?:[^'\\]|''|\\.)*+)'
  | "(?P<NAME>(?:[^"]|"")++)"
  | (?P<OPERATOR><>|<=|>=|<|>|=)
  | (?P<OPEN>\()
  | (?P<CLOSE>\))
  | (?P<COMMA>,)
  | (?P<ARITHMETIC>[-+*/^%])
    """,
    re.VERBOSE | re.DOTALL,
)
_RUNS_ON: Final = re.compile(rf"[{_PART}]")
# Requirement /req/cql2-text/escaping: '' or \' is a quote, and \a \b \t \n \v \f \r are control characters. That a backslash is
# written \\ follows from its being the escape character; \% and \_ are left to LIKE; every other sequence is refused.
_ESCAPE: Final = re.compile(r"''|\\(.)", re.DOTALL)
_WILD: Final = frozenset("%_")
_ESCAPED: Final = {"'": "'", "\\": "\\", "a": "\a", "b": "\b", "t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r"}


class TokenKind(Enum):
    """What a token is: the names are those of the groups of the expression above."""

    WORD = auto()
    NUMBER = auto()
    TEXT = auto()
    NAME = auto()
    OPERATOR = auto()
    OPEN = auto()
    CLOSE = auto()
    COMMA = auto()
    ARITHMETIC = auto()
    END = auto()


@dataclass(frozen=True, slots=True)
class Token:
    r"""One token: its text with quotes and escapes resolved, and the 1-based character where it starts.

    `wild` is the character of its first \% or \_, which stay as they are and only a pattern of LIKE may hold; 0 without one.
    """

    kind: TokenKind
    text: str
    position: int
    wild: int = 0

    def is_word(self, keyword: str) -> bool:
        """Tell whether this is the keyword, in any case. Only ASCII counts: Python upper-cases a long s to S."""
        return self.kind is TokenKind.WORD and self.text.isascii() and self.text.upper() == keyword


def tokens(text: str) -> tuple[Token, ...]:
    """Cut the text into tokens, END last. Raise Invalid (`filter_invalid`) at the first character that starts none."""
    found: list[Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        stranger = refusals.STRANGERS.get(text[at : at + 2])
        if stranger:
            raise refusal(stranger, at + 1)
        if match is None:
            raise refusal(_unreadable(text[at]), at + 1)
        if match.lastgroup != "SPACE":
            found.append(_token(match, text))
        at = match.end()
    return (*found, Token(TokenKind.END, "", len(text) + 1))


def _token(match: re.Match[str], text: str) -> Token:
    kind = TokenKind[str(match.lastgroup)]
    inner = match[kind.name]
    start = match.start()
    wild = 0
    if kind is TokenKind.TEXT:
        inner, wild = _unescaped(inner, start + 1)
    elif kind is TokenKind.NAME:
        if has_control(inner):
            raise refusal(refusals.UNCLOSED_NAME, start + 1)
        inner = inner.replace('""', '"')
    elif kind is TokenKind.NUMBER and _RUNS_ON.match(text, match.end()):
        raise refusal(refusals.BOUNDARY, match.end() + 1)
    return Token(kind, inner, start + 1, wild)


def _unescaped(inner: str, start: int) -> tuple[str, int]:
    wild = 0

    def resolve(match: re.Match[str]) -> str:
        nonlocal wild
        if match[1] is None:
            return "'"
        if match[1] in _WILD:
            wild = wild or start + match.start() + 1
            return match[0]
        if match[1] not in _ESCAPED:
            raise refusal(refusals.ESCAPE, start + match.start() + 1)
        return _ESCAPED[match[1]]

    return _ESCAPE.sub(resolve, inner), wild


def _unreadable(character: str) -> refusals.Wrong:
    if character == "'":
        return refusals.UNCLOSED_TEXT
    if character == '"':
        return refusals.UNCLOSED_NAME
    if has_control(character) or not is_writable(character):
        return refusals.CONTROL
    return refusals.CHARACTER
