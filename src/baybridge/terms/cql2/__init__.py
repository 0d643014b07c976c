"""CQL2 text filters: one tree, its parser, its canonical printer and its type check. No rule is in this door, no I/O behind it.

The language is Basic CQL2 (OGC 21-065r2) with IN and BETWEEN. The parts: `nodes` the tree, `lexer` and `parser` text to tree,
`printer` tree to text, `checker` tree against columns. SQL is made from the tree by `baybridge.data.sql`, never here.
"""

from baybridge.terms.cql2.checker import check
from baybridge.terms.cql2.nodes import (
    MAX_IN_ITEMS,
    Always,
    And,
    Between,
    Comparison,
    Filter,
    In,
    IsNull,
    LiteralKind,
    Not,
    Operator,
    Or,
    Property,
    Value,
    conjunction,
    disjunction,
    properties_of,
)
from baybridge.terms.cql2.parser import MAX_BYTES, MAX_NESTING, parse
from baybridge.terms.cql2.printer import to_text

__all__ = [
    "MAX_BYTES",
    "MAX_IN_ITEMS",
    "MAX_NESTING",
    "Always",
    "And",
    "Between",
    "Comparison",
    "Filter",
    "In",
    "IsNull",
    "LiteralKind",
    "Not",
    "Operator",
    "Or",
    "Property",
    "Value",
    "check",
    "conjunction",
    "disjunction",
    "parse",
    "properties_of",
    "to_text",
]
