"""How results and errors look in a terminal and in a file. Plain text without colour, so NO_COLOR is always kept."""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import click
import msgspec

from baybridge.client import chunks
from baybridge.errors import Advice, BaybridgeError
from baybridge.wire.collections import PublishReport
from baybridge.wire.problems import PlaceShape, ProblemShape

_MAX_PLACES: Final = 5
_SPOKEN: Final[dict[str, dict[str, str]]] = {
    "not_signed_in": {"Send the header Authorization: Bearer TOKEN.": "Use --token-file FILE, or set BAYBRIDGE_TOKEN."},
    "purpose_required": {"Send Baybridge-Purpose with one of:": "Use --purpose with one of:"},
    "agreement_ambiguous": {"Send Baybridge-Agreement with one of:": "Use --agreement with one of:"},
    "agreement_superseded": {"Send Baybridge-Agreement with": "Use --agreement"},
    "conflict": {"request (consumer)": "counter (consumer)", "successor (": "renew or amend ("},
}
"""What a server tells in the words of HTTP, by code, and the same in the words of the command line."""


def write_json(result: object) -> None:
    """Print one JSON object on one line."""
    click.echo(msgspec.json.encode(result))


def printable(text: str) -> str:
    """The text with what a terminal would obey (escape sequences, line breaks) written out: data must not drive a terminal."""
    return "".join(character if character.isprintable() else character.encode("unicode_escape").decode() for character in text)


def counted(number: int, noun: str) -> str:
    """The number and what is counted: 1 row, 2,000 rows."""
    return f"{number:,} {noun if number == 1 else f'{noun}s'}"


def cell(value: object) -> str:
    """A value as a cell of CSV, as a server writes it: null is empty, booleans are true and false, structs and lists are JSON."""
    if value is None:
        return ""
    if isinstance(value, dict | list):
        return msgspec.json.encode(value).decode()
    return str(value).lower() if isinstance(value, bool) else str(value)


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Rows under their headers in aligned columns; columns of numbers to the right. Nothing is cut."""
    body = [list(row) for row in rows]
    numbers = [all(row[at] is None or isinstance(row[at], int | float) for row in body) for at in range(len(headers))]
    lines = [[printable(text) for text in headers], *([printable(cell(value)) for value in row] for row in body)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(headers))]
    return [
        "  ".join(
            text.rjust(width) if right else text.ljust(width) for text, width, right in zip(line, widths, numbers, strict=True)
        ).rstrip()
        for line in lines
    ]


def csv_lines(rows: Iterable[Sequence[object]]) -> str:
    """Rows as CSV text."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for row in rows:
        writer.writerow([cell(value) for value in row])
    return text.getvalue()


def told(source: Path) -> Iterator[bytes]:
    """The bytes of a file, and on the standard error of a terminal, but nowhere else, a bar that says how far they are."""
    if not sys.stderr.isatty():
        yield from chunks(source)
        return
    with click.progressbar(length=source.stat().st_size, label=printable(source.name), file=sys.stderr) as bar:
        for piece in chunks(source):
            yield piece
            bar.update(len(piece))


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
        os.fchmod(descriptor, 0o600)  # the file may have been there, readable by others
        file.write(text)


def problem(error: BaybridgeError, report: PublishReport | None = None) -> ProblemShape:
    """The error with the members of problem details, as a server sends it but for the words of a next step."""
    advice = _spoken(error)
    return ProblemShape(
        type=f"/errors/{error.code}",
        title=error.facts.meaning,
        status=error.facts.status,
        detail=error.detail,
        code=error.code,
        rule=advice.rule,
        who_can_change=advice.who_can_change,
        next_step=advice.next_step,
        next_command=advice.next_command,
        next_url=advice.next_url,
        retry=error.retry_after,
        errors=[PlaceShape(parameter=each.parameter, message=each.message, column=each.column, hint=each.hint) for each in error.places],
        report=report,
    )


def error_lines(error: BaybridgeError) -> list[str]:
    """The error in the shape of a terminal: what, where, the rule, whom to ask, what to try."""
    advice = _spoken(error)
    labelled = [
        ("at:", _places(error)),
        ("rule:", advice.rule),
        ("ask:", advice.who_can_change),
        ("try:", advice.next_command),
        ("next:", advice.next_step),
        ("see:", advice.next_url),
        ("wait:", None if error.retry_after is None else f"{error.retry_after} s"),
        ("docs:", f"docs/reference/errors.md#{error.code}"),
    ]
    first = f"error: {error.detail} ({error.code})"
    return [printable(line) for line in [first, *(f"  {label:<6} {text}" for label, text in labelled if text)]]


def next_move(state: str, provider: str, consumer: str, command: str) -> Iterator[str]:
    """Who signs next, and with which command, while that is what a negotiation waits for."""
    signer = {
        "OFFERED": f"signatories of {provider} and {consumer}",
        "AGREED": f"a signatory of {consumer}",
        "ACCEPTED": f"a signatory of {provider}",
    }.get(state)
    if signer is not None:
        yield f"next: {signer}: baybridge {command}"


def _spoken(error: BaybridgeError) -> Advice:
    """The advice, with its next step in the words of the command line."""
    step = error.advice.next_step
    if step is None:
        return error.advice
    for of_http, of_commands in _SPOKEN.get(error.code, {}).items():
        step = step.replace(of_http, of_commands)
    return replace(error.advice, next_step=step)


def _places(error: BaybridgeError) -> str:
    shown = []
    for each in error.places[:_MAX_PLACES]:
        at = f", character {each.column}" if each.column is not None else ""
        hint = f" ({each.hint if ' ' in each.hint else f'did you mean {each.hint}?'})" if each.hint else ""
        shown.append(f"{each.parameter}{at}: {each.message}{hint}")
    return "; ".join(shown) + ("; ..." if len(error.places) > _MAX_PLACES else "")
