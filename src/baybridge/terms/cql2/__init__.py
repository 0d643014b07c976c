"""CQL2 filters: one tree, its readers from text and JSON, its printers, its type check. No rule is in this door, no I/O behind it.

The language is OGC 21-065r2: Basic CQL2, Advanced Comparison Operators, Case- and Accent-insensitive Comparison, Property-Property
Comparisons. The parts: `nodes` the tree, `lexer` and `parser` text to tree, `printer` tree to text, `encoding` tree to JSON and back,
`checker` tree against columns. SQL is made from the tree by `baybridge.data.sql`, never here.
"""

from baybridge.terms.cql2.checker import check
from baybridge.terms.cql2.encoding import MAX_JSON_BYTES, from_json, to_json
from baybridge.terms.cql2.nodes import (
    MAX_IN_ITEMS,
    Always,
    And,
    Between,
    ColumnComparison,
    Comparison,
    Filter,
    Fold,
    In,
    IsNull,
    Like,
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
from baybridge.terms.cql2.parser import MAX_BYTES, MAX_CONDITIONS, MAX_NESTING, parse
from baybridge.terms.cql2.printer import to_text
from baybridge.terms.cql2.refusals import QUOTES

__all__ = [
    "MAX_BYTES",
    "MAX_CONDITIONS",
    "MAX_IN_ITEMS",
    "MAX_JSON_BYTES",
    "MAX_NESTING",
    "QUOTES",
    "Always",
    "And",
    "Between",
    "ColumnComparison",
    "Comparison",
    "Filter",
    "Fold",
    "In",
    "IsNull",
    "Like",
    "LiteralKind",
    "Not",
    "Operator",
    "Or",
    "Property",
    "Value",
    "check",
    "conjunction",
    "disjunction",
    "from_json",
    "parse",
    "properties_of",
    "to_json",
    "to_text",
]
