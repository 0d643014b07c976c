"""Which tests run a second time with the catalog on PostgreSQL: those that make a world, but not those named here with a reason."""

from __future__ import annotations

from pathlib import Path

import pytest

ITS_FILE = "reads, alters or locks SQLite's file"
NOT_ITS_SUBJECT = "takes long, and the catalog is not its subject"

ONCE: dict[str, str] = {
    "test_postgresql.py": "starts PostgreSQL itself in the first pass",
    "test_postgresql_nodes.py": "starts PostgreSQL itself in the first pass",
    "test_swarm.py": "starts PostgreSQL itself in the first pass",
    "test_audit.py": ITS_FILE,
    "test_crash.py": ITS_FILE,
    "test_db.py": ITS_FILE,
    "test_doctor.py": ITS_FILE,
    "test_durability.py": ITS_FILE,
    "test_erasure.py": ITS_FILE,
    "test_home.py": ITS_FILE,
    "test_mutations.py": ITS_FILE,
    "test_outside.py": ITS_FILE,
    "test_purge.py": ITS_FILE,
    "test_record.py": ITS_FILE,
    "test_administer.py::test_only_the_hash_of_a_token_is_kept_anywhere_in_the_home": ITS_FILE,
    "test_administer.py::test_a_revoked_token_is_as_good_as_none_and_revoking_again_keeps_the_first_time": ITS_FILE,
    "test_agree.py::test_terms_that_are_not_understood_can_be_ended_but_not_signed_or_offered_as_they_are": ITS_FILE,
    "test_cli.py::test_a_damaged_log_fails_its_verification_with_exit_code_9": ITS_FILE,
    "test_destruction.py::test_both_sides_are_told_of_what_is_overdue_until_the_statement_is_there": ITS_FILE,
    "test_settings.py::test_pseudonyms_are_made_under_the_wrapping_key_that_is_set": "another key than the first is refused to a node",
    "test_limits.py::test_what_was_counted_for_an_entry_that_was_never_written_is_undone": ITS_FILE,
    "test_attack.py": NOT_ITS_SUBJECT,
    "test_bounds.py": NOT_ITS_SUBJECT,
    "test_client_frames.py": NOT_ITS_SUBJECT,
    "test_crew.py": NOT_ITS_SUBJECT,
    "test_docs.py": NOT_ITS_SUBJECT,
    "test_extracts.py": NOT_ITS_SUBJECT,
    "test_filter_size.py": NOT_ITS_SUBJECT,
    "test_filter_sql.py": NOT_ITS_SUBJECT,
    "test_ingest.py": NOT_ITS_SUBJECT,
    "test_order.py": NOT_ITS_SUBJECT,
    "test_projection_properties.py": NOT_ITS_SUBJECT,
    "test_sending.py": NOT_ITS_SUBJECT,
}


def is_once(item: pytest.Item) -> bool:
    """Whether the test, or all of its file, is named."""
    file, function = Path(str(item.fspath)).name, getattr(item, "originalname", None) or item.name
    return file in ONCE or f"{file}::{function}" in ONCE


def uses_a_world(item: pytest.Item) -> bool:
    """Whether the test may make a world: by the fixture, or in its file by name."""
    module = getattr(item, "module", None)
    return not {"world", "flights"}.isdisjoint(getattr(item, "fixturenames", ())) or hasattr(module, "make_world")
