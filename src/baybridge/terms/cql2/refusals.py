"""The sentences with which a filter is refused: each names the construct and the nearest thing that is allowed. It decides nothing.

No sentence repeats the caller's text: a filter may hold personal data, and errors are logged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from baybridge.errors import Advice, Invalid, Place

_RULE: Final = (
    "A filter is CQL2: columns compared with literals or columns, LIKE, IN, BETWEEN, IS NULL, CASEI, ACCENTI, AND, OR, NOT and parentheses."
)


@dataclass(frozen=True, slots=True)
class Wrong:
    """What is wrong and what to write instead."""

    message: str
    hint: str


ARITHMETIC: Final = Wrong(
    "Arithmetic (class Arithmetic Expressions) is not supported in a filter.",
    "Work the number out and compare the column with it: amount > 150.",
)
QUOTES: Final = "Text is written in single quotes, 'text'; double quotes hold a column's name."
"""The hint for a name that is no column's, nor near one: most likely it is text."""

TWO_COLUMNS: Final = Wrong("IN, BETWEEN and LIKE compare a column with literals, not with another column.", QUOTES)
NULL_LITERAL: Final = Wrong(
    "NULL equals nothing, so a comparison with it selects no row.", "Write: column IS NULL, or: column IS NOT NULL."
)
TWO_LITERALS: Final = Wrong("A literal is compared with a column, not with another literal.", "Write: column = 5.")
LITERAL_FIRST: Final = Wrong(
    "A condition starts with a column's name.", "Write: column = 5. A keyword that is a column's name goes in double quotes."
)
NO_CONDITION: Final = Wrong(
    "A column alone is not a condition.", "Write one of = <> < <= > >= IN BETWEEN IS after the name; for a boolean column: column = TRUE."
)
NO_LITERAL: Final = Wrong(
    "A literal is needed here.", "Write a number, 'text', TRUE, FALSE, DATE('2024-01-31') or TIMESTAMP('2024-01-31T12:00:00Z')."
)
MIXED: Final = Wrong("The literals of one condition are of one kind.", "Write all of them as numbers, or all as 'text', and so on.")
COMPOUND: Final = Wrong("A condition cannot be compared or combined with a value.", "Join conditions with AND and OR.")
AFTER_END: Final = Wrong("The filter should have ended, or gone on with AND or OR, here.", "Join conditions with AND and OR.")
FUNCTION: Final = Wrong("Functions (class Functions) are not supported in a filter.", "Compare the column itself with a literal.")
ILIKE: Final = Wrong("ILIKE is not an operator of CQL2.", "Write: CASEI(name) LIKE CASEI('smith%').")
PATTERN: Final = Wrong(
    "LIKE takes a pattern: text in which a backslash stands before %, _ or another backslash only.",
    "Write: name LIKE 'Smith%'; a percent sign itself is \\\\%.",
)
FOLDS: Final = Wrong(
    "CASEI and ACCENTI stand on both sides of a condition or on neither; only a pattern of LIKE takes them alone.",
    "Write: CASEI(name) = CASEI('smith'), ACCENTI(name) = ACCENTI('José').",
)
FOLDED: Final = Wrong("CASEI and ACCENTI take one column or one text, each of them once.", "Write: CASEI(ACCENTI(name)).")
IS: Final = Wrong("IS is followed by NULL or NOT NULL.", "For a boolean column write: column = TRUE.")
DEPTH: Final = Wrong(
    "The filter is nested deeper than 64 levels.", "Use fewer parentheses and NOTs; many values of one column go into one IN."
)
NUMBER: Final = Wrong(
    "A number has at most 80 characters, 72 significant digits and a power of ten between -999 and 999.",
    "Write the number with fewer digits.",
)
ITEMS: Final = Wrong("The IN lists of a filter have at most 10,000 values.", "Ask in several requests.")
CONDITIONS: Final = Wrong(
    "A filter has at most 4,096 conditions.", "Put the values of one column into one IN: column IN ('a', 'b'), or ask in several requests."
)
DATE: Final = Wrong("A date is written DATE('2024-01-31'), with a day that exists.", "Year, month and day with 4, 2 and 2 digits.")
TIMESTAMP: Final = Wrong(
    "A timestamp is written TIMESTAMP('2024-01-31T12:00:00Z'), with a day and a time that exist.",
    "At most 6 digits after the seconds; Z or +05:00 for an instant, neither for a column without a zone.",
)
UNCLOSED_TEXT: Final = Wrong("This quote is never closed.", "Inside text write '' for a quote and \\\\ for a backslash.")
UNCLOSED_NAME: Final = Wrong(
    "This name in double quotes is empty, never closed, or holds a control character.", 'Inside a name write "" for a double quote.'
)
ESCAPE: Final = Wrong(
    "This backslash sequence has no meaning in a filter.", "Write \\\\ for a backslash; the others are \\' \\a \\b \\t \\n \\v \\f \\r."
)
CHARACTER: Final = Wrong(
    "This character has no meaning in a filter.", "Text is written in single quotes, column names with other characters in double quotes."
)
CONTROL: Final = Wrong("A control character stands outside quotes, or a NUL or half a surrogate pair anywhere.", "Remove it.")
BOUNDARY: Final = Wrong("A number runs into the next word.", "Put a space between them, or quotes around text that starts with a digit.")

FUNCTIONS: Final[dict[str, Wrong]] = {
    "INTERVAL": Wrong("INTERVAL is not supported in a filter.", "Write: day BETWEEN DATE('2024-01-01') AND DATE('2024-01-31')."),
}
FUNCTION_FAMILIES: Final[dict[str, Wrong]] = {
    "S_": Wrong(
        "Spatial functions (classes Basic Spatial and Spatial Functions) are not supported in a filter.",
        "Compare coordinate columns: lon BETWEEN -123 AND -122 AND lat BETWEEN 37 AND 38.",
    ),
    "T_": Wrong(
        "Temporal functions (class Temporal Functions) are not supported in a filter.",
        "Compare the column: day < DATE('2024-01-31'), or use BETWEEN.",
    ),
    "A_": Wrong(
        "Array functions (class Array Functions) are not supported in a filter.",
        "Compare one column with a list of values: column IN ('a', 'b').",
    ),
}
# Spellings of other languages, longest first where one starts another.
STRANGERS: Final[dict[str, Wrong]] = {
    "!=": Wrong("!= is not an operator of CQL2.", "Write <>."),
    "==": Wrong("== is not an operator of CQL2.", "Write =."),
    "&&": Wrong("&& is not an operator of CQL2.", "Write AND."),
    "||": Wrong("|| is not an operator of CQL2.", "Write OR."),
    "=<": Wrong("=< is not an operator of CQL2.", "Write <=."),
    "=>": Wrong("=> is not an operator of CQL2.", "Write >=."),
    "--": Wrong("A filter has no comments.", "Remove it."),
    "/*": Wrong("A filter has no comments.", "Remove it."),
}


def function_refusal(name: str) -> Wrong:
    """Give the refusal for a function of this name."""
    upper = name.upper()
    return FUNCTIONS.get(upper) or FUNCTION_FAMILIES.get(upper[:2]) or FUNCTION


def refusal(wrong: Wrong, position: int) -> Invalid:
    """Make the error for what is wrong at this 1-based character of the filter."""
    return Invalid(
        "filter_invalid",
        f"The filter cannot be read at character {position}: {wrong.message}",
        advice=Advice(rule=_RULE, who_can_change="you", next_step=wrong.hint),
        places=(Place("filter", wrong.message, column=position, hint=wrong.hint),),
    )


def refusal_in_json(wrong: Wrong, pointer: str) -> Invalid:
    """Make the error for what is wrong at this JSON pointer of the filter."""
    return Invalid(
        "filter_invalid",
        f"The filter cannot be read at {pointer or 'its top'}: {wrong.message}",
        advice=Advice(rule=_RULE, who_can_change="you", next_step=wrong.hint),
        places=(Place(f"filter{pointer}", wrong.message, hint=wrong.hint),),
    )
