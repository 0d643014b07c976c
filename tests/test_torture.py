"""The torture set: hostile files of every format, each with what must come of it, by hand; and clean files, mutated: nothing is lost."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest
from torture import csv_guessing, csv_shapes, typed
from torture.case import Case

from baybridge.data.ingest.lexical import RULES
from baybridge.data.ingest.load import Opened, open_csv
from baybridge.data.ingest.profile import Profile, profile, propose
from baybridge.data.ingest.reading.reading import Wanted
from baybridge.data.ingest.stage import Staged, stage
from baybridge.errors import BaybridgeError
from baybridge.wire.formats import Format

CASES: dict[str, Case] = csv_guessing.CASES | csv_shapes.CASES | typed.CASES

# Rules that no file of the set breaks, and where they are tested instead. This list shrinks.
ELSEWHERE = {
    "cell_error": "comes from a workbook: test_workbook.py",
    "key_taken": "needs a version to append to: test_modes.py",
    "line_too_long": "a row over 16 MB is no small file: test_ingest.py",
}


@dataclass(frozen=True, slots=True)
class Came:
    """What came of a file."""

    opened: Opened | None
    profile: Profile
    staged: Staged


def read(case: Case, folder: Path) -> Came:
    """The file's way from bytes to rows, as a steward's who has accepted the reading that a dry run proposed."""
    path = folder / "upload"
    if case.table:
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute(f"COPY ({case.table}) TO '{path}' (FORMAT parquet)")
    else:
        path.write_bytes(case.data)
    opened = None
    if case.file_format is Format.CSV:
        wanted = Wanted(accept=True) if not case.said else case.said
        opened = open_csv(path, wanted, scratch=folder, confirmed=True)
        path = opened.plain.path
    schema = case.schema()
    null_words = case.null_words if schema is None else schema.null_words
    names = () if schema is None else tuple(schema.types)
    seen = profile(path, scratch=folder, file_format=case.file_format, null_words=null_words, names=names)
    staged = stage(path, schema or propose(seen, case.key), scratch=folder, file_format=case.file_format)
    return Came(opened, seen, staged) if opened is None else Came(opened, opened.profiled(seen), opened.staged(staged))


def loaded(staged: Staged) -> tuple[str, ...]:
    """The loaded rows as texts."""
    texts = ", ".join(
        f"coalesce({'to_json' if column.type.is_nested else ''}(\"{column.name}\")::VARCHAR, '∅')" for column in staged.schema.columns
    )
    with duckdb.connect(str(staged.path), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return tuple("|".join(row) for row in connection.execute(f"SELECT {texts} FROM rows").fetchall())


def facts(seen: Profile, wanted: str) -> str:
    """The wanted facts of the profile, as they are."""
    columns = {column.name: column for column in seen.columns}
    names = [fact.partition("=")[0].split(".") for fact in wanted.split()]
    return " ".join(f"{column}.{fact}={getattr(columns[column], fact)}" for column, fact in names)


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_file_becomes_what_was_written_by_hand_and_its_counts_balance(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    if case.refused is not None:
        code, words = case.refused
        with pytest.raises(BaybridgeError) as refused:
            read(case, tmp_path)
        assert (refused.value.code, words in refused.value.detail) == (code, True), refused.value.detail
        return
    came = read(case, tmp_path)
    staged = came.staged
    found = () if came.opened is None else came.opened.found.remarks
    assert " ".join(f"{each.aspect}={each.value}" for each in found) == case.found
    assert {column: str(each) for column, each in staged.schema.types.items()} == (case.types or case.declared)
    assert tuple((each.row, each.column, each.rule) for each in staged.rejects) == case.rejects
    assert loaded(staged) == case.rows
    assert (staged.rows_read, staged.rows_loaded, staged.rows_rejected) == case.counts
    assert came.profile.rows_read == staged.rows_read or case.declared is not None
    assert facts(came.profile, case.seen) == case.seen


def test_the_set_is_large_and_every_count_in_it_balances() -> None:
    assert len(CASES) >= 120
    assert len(CASES) == len(csv_guessing.CASES) + len(csv_shapes.CASES) + len(typed.CASES)
    for name, case in CASES.items():
        if case.counts is not None:
            of_file, of_table, rejected = case.counts
            assert of_file == of_table + rejected, name
            assert (of_table, rejected) == (len(case.rows), len({row for row, *_ in case.rejects})), name
        else:
            assert case.refused, name


def test_every_rule_of_a_reject_is_broken_by_a_file_of_the_set() -> None:
    broken = {rule for case in CASES.values() for _, _, rule in case.rejects}
    assert broken | ELSEWHERE.keys() == RULES.keys()
    assert not broken & ELSEWHERE.keys()
