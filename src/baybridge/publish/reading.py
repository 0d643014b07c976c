"""How an upload of CSV is read, as the faces say and tell it. They open no file of data; what is found comes with the publication."""

from __future__ import annotations

from baybridge.data.ingest.evidence import evidence
from baybridge.data.ingest.profile import ColumnProfile
from baybridge.data.ingest.reading.find import Found
from baybridge.data.ingest.reading.reading import NOTHING_SAID, Wanted, parse_wanted, written

__all__ = ["ASPECTS", "NOTHING_SAID", "ColumnProfile", "Found", "Wanted", "evidence", "parse_wanted", "written"]

ASPECTS = ("encoding", "delimiter", "quote", "escape", "line_end", "skip", "header_rows", "footer", "names")
"""What a request may say of the reading."""
