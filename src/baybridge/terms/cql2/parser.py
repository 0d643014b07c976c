"""Tokens to the filter tree, by recursive descent. It decides what the language is; it knows no columns and writes no text.

    condition   = all { OR all }
    all         = factor { AND factor }
    factor      = [ NOT ] ( "(" condition ")" | predicate | NOT factor )
    predicate   = TRUE | FALSE | operand operator operand
                | operand ( IS [NOT] NULL | [NOT] LIKE text | [NOT] BETWEEN literal AND literal | [NOT] IN list )
    list        = "(" literal { "," literal } ")"
    operand     = property | literal | ( CASEI | ACCENTI ) "(" operand ")"

Source: cql2.bnf 1.0.0 of OGC 21-065r2, conformance classes Basic CQL2, Advanced Comparison Operators, Case-insensitive Comparison,
Accent-insensitive Comparison and Property-Property Comparisons. CASEI and ACCENTI stand on both sides or on neither, or on the pattern
of LIKE alone. Beyond the standard:
NOT NOT, BETWEEN over every ordered kind, any text in a quoted name, and TIMESTAMP without a zone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final

from baybridge.errors import Invalid
from baybridge.terms.cql2 import refusals
from baybridge.terms.cql2.lexer import Token, TokenKind, tokens
from baybridge.terms.cql2.literals import date_of, number_of, timestamp_of
from baybridge.terms.cql2.nodes import (
    MAX_IN_ITEMS,
    Always,
    Between,
    ColumnComparison,
    Comparison,
    Filter,
    Fold,
    In,
    IsNull,
    Like,
    Not,
    Operator,
    Property,
    Value,
    conjunction,
    disjunction,
    is_pattern,
    is_writable,
    kind_of,
    leaves,
    nesting,
)
from baybridge.terms.cql2.printer import RESERVED, to_text
from baybridge.terms.cql2.refusals import Wrong, refusal

MAX_BYTES: Final = 8192
MAX_NESTING: Final = 64
MAX_CONDITIONS: Final = 4096
OPERATORS: Final[dict[str, Operator]] = {"=": "=", "<>": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
FLIPPED: Final[dict[Operator, Operator]] = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
# SQL writes DATE '2024-01-31'; CQL2 puts the text in parentheses.
_SQL_STYLE: Final = {"DATE": refusals.DATE, "TIMESTAMP": refusals.TIMESTAMP}


def parse(text: str, *, max_bytes: int = MAX_BYTES) -> Filter:
    """Read CQL2 text into the one filter tree, in normal form: `parse(to_text(tree)) == tree` for every tree that this returns.

    `max_bytes` bounds the text in UTF-8 and its canonical text too, so that what is accepted can be stored and read again.
    Raise Invalid (`filter_invalid`) with the position of what is wrong and the nearest thing that is allowed.
    """
    if not is_writable(text):
        raise refusal(refusals.CONTROL, 1 + next(at for at, character in enumerate(text) if not is_writable(character)))
    _bounded(text, max_bytes)
    tree = _Parser(tokens(text)).filter()
    if nesting(tree) > MAX_NESTING:
        raise refusal(refusals.DEPTH, 1)
    found = leaves(tree)
    if len(found) > MAX_CONDITIONS:
        raise refusal(refusals.CONDITIONS, 1)
    if sum(len(leaf.values) for leaf in found if isinstance(leaf, In)) > MAX_IN_ITEMS:
        raise refusal(refusals.ITEMS, 1)
    _bounded(to_text(tree), max_bytes)
    return tree


def _bounded(text: str, max_bytes: int) -> None:
    if len(text.encode()) > max_bytes:
        wrong = Wrong(f"A filter has at most {max_bytes} bytes of UTF-8, also when it is written out in full.", "Ask in several requests.")
        raise refusal(wrong, 1)


@dataclass(frozen=True, slots=True)
class _Literal:
    """A literal as it stands in the text: its value, where it starts, its folds, and where its first escape of a pattern is, or 0."""

    value: Value
    position: int
    folds: tuple[Fold, ...]
    wild: int


class _Parser:
    """One pass over the tokens of one filter, from left to right, never back."""

    def __init__(self, found: tuple[Token, ...]) -> None:
        self._tokens = found
        self._at = 0

    def filter(self) -> Filter:
        tree = self._condition(0)
        token = self._token
        if token.kind is not TokenKind.END:
            raise self._unexpected(refusals.COMPOUND if token.kind is TokenKind.OPERATOR else refusals.AFTER_END)
        return tree

    @property
    def _token(self) -> Token:
        return self._tokens[self._at]

    @property
    def _next_kind(self) -> TokenKind:
        return self._tokens[min(self._at + 1, len(self._tokens) - 1)].kind

    @property
    def _next_opens(self) -> bool:
        return self._next_kind is TokenKind.OPEN

    def _take(self) -> Token:
        token = self._token
        self._at += 1
        return token

    def _took_word(self, keyword: str) -> bool:
        if not self._token.is_word(keyword):
            return False
        self._at += 1
        return True

    def _expect(self, kind: TokenKind, wrong: Wrong) -> Token:
        if self._token.kind is not kind:
            raise self._unexpected(wrong)
        return self._take()

    def _expect_word(self, keyword: str, wrong: Wrong) -> None:
        if not self._took_word(keyword):
            raise self._unexpected(wrong)

    def _condition(self, level: int) -> Filter:
        operands = [self._all(level)]
        while self._took_word("OR"):
            operands.append(self._all(level))
        return disjunction(operands)

    def _all(self, level: int) -> Filter:
        operands = [self._factor(level)]
        while self._took_word("AND"):
            operands.append(self._factor(level))
        return conjunction(operands)

    def _factor(self, level: int) -> Filter:
        # NOT and the parenthesis after it are one level, as in the canonical text.
        token = self._token
        negated = self._took_word("NOT")
        opened = self._token.kind is TokenKind.OPEN
        if not negated and not opened:
            return self._predicate()
        if level == MAX_NESTING:
            raise refusal(refusals.DEPTH, token.position)
        operand = self._parenthesised(level + 1) if opened else self._factor(level + 1)
        return Not(operand) if negated else operand

    def _parenthesised(self, level: int) -> Filter:
        opening = self._take()
        inner = self._condition(level)
        wrong = Wrong(
            f"A closing parenthesis, AND or OR is needed here, for the ( at character {opening.position}.", "Write ) to close it."
        )
        self._expect(TokenKind.CLOSE, refusals.COMPOUND if self._token.kind is TokenKind.OPERATOR else wrong)
        return inner

    def _predicate(self) -> Filter:
        left = self._operand(refusals.LITERAL_FIRST)
        if isinstance(left, Property):
            return self._about(left)
        if self._token.kind is TokenKind.OPERATOR:
            operator = OPERATORS[self._take().text]
            right = self._operand(refusals.TWO_LITERALS)
            if not isinstance(right, Property):
                raise refusal(refusals.TWO_LITERALS, right.position)
            return Comparison(FLIPPED[operator], right, _value(left, right))
        if isinstance(left.value, bool):
            return Always(left.value)
        raise self._unexpected(refusals.LITERAL_FIRST)

    def _about(self, name: Property) -> Filter:
        if self._token.kind is TokenKind.OPERATOR:
            return self._comparison(name, OPERATORS[self._take().text])
        if self._took_word("IS"):
            negated = self._took_word("NOT")
            self._expect_word("NULL", refusals.IS)
            tested = IsNull(Property(name.name, name.position))
            return Not(tested) if negated else tested
        negated = self._took_word("NOT")
        found: Filter
        if self._took_word("BETWEEN"):
            found = self._between(name)
        elif self._took_word("IN"):
            found = self._in(name)
        elif self._took_word("LIKE"):
            found = self._like(name)
        else:
            raise self._unexpected(refusals.NO_CONDITION)
        return Not(found) if negated else found

    def _comparison(self, name: Property, operator: Operator) -> Comparison | ColumnComparison:
        other = self._operand(refusals.NO_LITERAL)
        if not isinstance(other, Property):
            return Comparison(operator, name, _value(other, name))
        if other.folds != name.folds:
            raise refusal(refusals.FOLDS, other.position)
        return ColumnComparison(operator, name, other)

    def _like(self, name: Property) -> Like:
        pattern = self._literal()
        if not isinstance(pattern.value, str) or not is_pattern(pattern.value):
            raise refusal(refusals.PATTERN, pattern.position)
        if name.folds and pattern.folds != name.folds:
            raise refusal(refusals.FOLDS, pattern.position)
        return Like(name, pattern.value, () if name.folds else pattern.folds)

    def _between(self, name: Property) -> Between:
        low = _value(self._literal(), name)
        self._expect_word("AND", Wrong("BETWEEN has two ends joined by AND.", "Write: column BETWEEN 1 AND 9."))
        position = self._token.position
        high = _value(self._literal(), name)
        if kind_of(high) is not kind_of(low):
            raise refusal(refusals.MIXED, position)
        return Between(name, low, high)

    def _in(self, name: Property) -> In:
        self._expect(TokenKind.OPEN, Wrong("IN is followed by a list in parentheses.", "Write: column IN ('a', 'b')."))
        values: list[Value] = []
        while True:
            position = self._token.position
            values.append(_value(self._literal(), name))
            if kind_of(values[-1]) is not kind_of(values[0]):
                raise refusal(refusals.MIXED, position)
            if len(values) > MAX_IN_ITEMS:
                raise refusal(refusals.ITEMS, position)
            if self._token.kind is not TokenKind.COMMA:
                break
            self._take()
        self._expect(TokenKind.CLOSE, Wrong("A comma or a closing parenthesis is needed here.", "Write: column IN ('a', 'b')."))
        return In(name, tuple(values))

    def _literal(self) -> _Literal:
        if self._is_property():
            raise self._unexpected(refusals.TWO_COLUMNS)
        found = self._operand(refusals.NO_LITERAL)
        if isinstance(found, Property):
            raise refusal(refusals.TWO_COLUMNS, found.position)
        return found

    def _operand(self, otherwise: Wrong) -> Property | _Literal:
        """Read a column or a literal, inside CASEI and ACCENTI or bare."""
        start = self._token.position
        folds: list[Fold] = []
        while self._next_opens and (self._token.is_word("CASEI") or self._token.is_word("ACCENTI")):
            folds.append(Fold(self._token.text.lower()))
            if folds.count(folds[-1]) > 1:
                raise refusal(refusals.FOLDED, self._token.position)
            self._take()
            self._take()
        ordered = tuple(fold for fold in Fold if fold in folds)
        found: Property | _Literal
        token = self._token
        if self._is_property():
            self._take()
            found = Property(token.text, token.position, ordered)
        else:
            found = _Literal(self._bare_literal(otherwise), start, ordered, token.wild)
            if folds and not isinstance(found.value, str):
                raise refusal(refusals.FOLDED, token.position)
        for _ in folds:
            self._expect(TokenKind.CLOSE, refusals.FOLDED)
        return found

    def _is_property(self) -> bool:
        token = self._token
        if token.kind is TokenKind.WORD:
            is_sql_style = self._next_kind is TokenKind.TEXT and token.text.upper() in _SQL_STYLE
            return not self._next_opens and not is_sql_style and not (token.text.isascii() and token.text.upper() in RESERVED)
        return token.kind is TokenKind.NAME

    def _bare_literal(self, otherwise: Wrong) -> Value:
        token = self._token
        if token.kind is TokenKind.NUMBER:
            return self._number()
        if token.kind is TokenKind.TEXT:
            return self._take().text
        if token.is_word("TRUE") or token.is_word("FALSE"):
            return self._take().is_word("TRUE")
        if self._next_opens and (token.is_word("DATE") or token.is_word("TIMESTAMP")):
            return self._time()
        raise self._unexpected(otherwise)

    def _number(self) -> Decimal:
        token = self._take()
        try:
            return number_of(token.text)
        except ValueError as error:
            raise refusal(refusals.NUMBER, token.position) from error

    def _time(self) -> date:
        wanted, read = (refusals.DATE, date_of) if self._take().is_word("DATE") else (refusals.TIMESTAMP, timestamp_of)
        self._take()
        token = self._expect(TokenKind.TEXT, wanted)
        self._expect(TokenKind.CLOSE, wanted)
        try:
            return read(token.text)
        except (ValueError, OverflowError) as error:
            raise refusal(wanted, token.position) from error

    def _unexpected(self, otherwise: Wrong) -> Invalid:
        """Give the error for the present token: by its own name where it is a construct that we leave out, else as the caller says."""
        token = self._token
        wrong = otherwise
        signed = token.kind is TokenKind.NUMBER and token.text[0] in "+-"
        if token.kind is TokenKind.ARITHMETIC or token.is_word("DIV") or (signed and otherwise is not refusals.TWO_LITERALS):
            wrong = refusals.ARITHMETIC
        elif token.is_word("ILIKE"):
            wrong = refusals.ILIKE
        elif token.is_word("NULL"):
            wrong = refusals.NULL_LITERAL
        elif token.kind is TokenKind.WORD and self._next_opens and token.text.upper() not in RESERVED:
            wrong = refusals.function_refusal(token.text)
        elif token.kind is TokenKind.WORD and self._next_kind is TokenKind.TEXT:
            wrong = _SQL_STYLE.get(token.text.upper(), otherwise)
        return refusal(wrong, token.position)


def _value(literal: _Literal, column: Property) -> Value:
    """The literal's value, once it may stand beside the column: folded alike, and no escape of a pattern in it."""
    if literal.wild:
        raise refusal(refusals.ESCAPE, literal.wild)
    if literal.folds != column.folds:
        raise refusal(refusals.FOLDS, literal.position)
    return literal.value
