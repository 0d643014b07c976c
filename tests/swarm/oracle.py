"""The oracle of the storm: plain SQL, boto3 and the public format of the log against what the clients got. Nothing of the product."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.parquet as pq
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from swarm.clients import PAGE, ROWS, Clients, csv_of, rows_of
from swarm.record import Seen

READS = ("pages", "requests", "rows")
PASSING = {"extract_building", "busy", "catalog_unavailable", "log_unavailable", "objects_unreachable"}
ACTS = {"conflict", "request_under_way", "outcome_unknown"}
CLEAR = {
    "pages": {"cursor_invalid", "version_not_in_agreement"},
    "requests": {"limit_reached"},
    "rows": {"limit_reached"},
    "life": {"agreement_not_started", "agreement_revoked"},
    "revoked": {"agreement_revoked"},
    **dict.fromkeys(("publish", "request", "offer", "sign", "revoke"), ACTS),
}
"""What a client may be told, beside what passes by itself."""


@dataclass(frozen=True)
class Exchange:
    """Where the truth is: the catalog's URL, the bucket, the verifier key of the log of bts, and the folders of the nodes."""

    catalog: str
    client: Any
    bucket: str
    verifier: str
    roots: Sequence[Path]

    def all(self, question: str, *values: object) -> list[Any]:
        with psycopg.connect(self.catalog) as connection:
            return connection.execute(question, values).fetchall()  # type: ignore[call-overload] -- the driver wants literal questions


def log_of(exchange: Exchange, organization: str) -> list[dict[str, Any]]:
    """The entries of a log: indexes without gap or repeat, as many as it says it has, and under every checkpoint that was signed."""
    rows = exchange.all("SELECT number, data FROM entries WHERE organization = %s ORDER BY number", organization)
    assert [number for number, _ in rows] == list(range(len(rows)))
    assert exchange.all("SELECT size FROM logs WHERE organization = %s", organization) == [(len(rows),)]
    notes = exchange.all("SELECT note FROM checkpoints WHERE organization = %s ORDER BY size", organization)
    signed = [opened(note, exchange.verifier.replace("/audit/bts", f"/audit/{organization}")) for (note,) in notes]
    roots = roots_at([bytes(data) for _, data in rows], [size for size, _ in signed])
    assert signed == [(size, roots[size]) for size, _ in signed]
    return [json.loads(bytes(data)) for _, data in rows]


def opened(note: str, verifier: str) -> tuple[int, bytes]:
    """Size and root of a checkpoint, once its signature holds (C2SP signed-note)."""
    text, _, signatures = note.rpartition("\n\n")
    key = base64.b64decode(verifier.split("+", 2)[2])
    signature = base64.b64decode(signatures.strip().rpartition(" ")[2])
    Ed25519PublicKey.from_public_bytes(key[1:]).verify(signature[4:], f"{text}\n".encode())
    _, size, root = text.split("\n")
    return int(size), base64.b64decode(root)


def roots_at(leaves: Sequence[bytes], sizes: Iterable[int]) -> dict[int, bytes]:
    """The roots of the trees over the first so many leaves (RFC 9162, section 2.1): whole subtrees, joined from the right."""
    wanted, found, peaks = set(sizes), {0: hashlib.sha256(b"").digest()}, list[tuple[int, bytes]]()
    for number, leaf in enumerate(leaves, 1):
        height, node = 0, hashlib.sha256(b"\0" + leaf).digest()
        while peaks and peaks[-1][0] == height:
            height, node = height + 1, joined(peaks.pop()[1], node)
        peaks.append((height, node))
        if number in wanted:
            root = peaks[-1][1]
            for _, left in reversed(peaks[:-1]):
                root = joined(left, root)
            found[number] = root
    return found


def joined(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def proved(receipt: str, verifier: str) -> int:
    """The index that a receipt proves (C2SP tlog-proof; RFC 9162, section 2.1.3.2)."""
    head, _, note = receipt.partition("\n\n")
    _, extra, index_line, *hashes = head.split("\n")
    size, root = opened(note, verifier)
    index = int(index_line.removeprefix("index "))
    first, last, node = index, size - 1, hashlib.sha256(b"\0" + base64.b64decode(extra.removeprefix("extra "))).digest()
    for each in map(base64.b64decode, hashes):
        if first & 1 or first == last:
            node = joined(each, node)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            node = joined(node, each)
        first, last = first >> 1, last >> 1
    assert (last, node) == (0, root)
    return index


def check_disclosures(seen: Sequence[Seen], log: Sequence[Mapping[str, Any]]) -> int:
    """No byte without its entry, which is of no other answer, and says what was received."""
    answers = [each for each in seen if each.what in {*READS, "life", "revoked"} and each.status == 200]
    named = Counter(each.entry for each in answers)
    assert set(named.values()) <= {1}, [index for index, times in named.items() if times > 1]
    ends = {entry["opening"]: entry for entry in log if entry["kind"] == "stream_ended"}
    for each in answers:
        assert each.entry is not None
        entry = log[each.entry]
        assert (entry["kind"], entry["status"], entry["agreement"]["id"]) == ("disclosure", 200, each.agreement)
        assert str(entry["version"]) == each.headers["baybridge-version"]
        assert each.headers["baybridge-agreement"] == each.agreement
        if "stream" in entry:
            check_stream(each, entry, ends.get(each.entry))
        elif each.is_whole:
            assert (entry["rows"], entry["bytes"], entry["sha256"]) == (len(each.json["items"]), each.size, each.sha256)
            assert each.json["version"] == entry["version"]
        else:
            assert each.size <= entry["bytes"]
    return len(answers)


def check_stream(seen: Seen, opening: Mapping[str, Any], end: Mapping[str, Any] | None) -> None:
    """What came is no more than was opened, and a whole one has an end that says so. What was cut is never taken for whole."""
    assert seen.body.count(b"\n") <= opening["rows"]
    if seen.is_whole:
        assert end is not None
        assert (end["ending"], end["rows"], end["bytes"], end["sha256"]) == ("whole", opening["rows"], seen.size, seen.sha256)
    elif end is not None and seen.broken == "left":
        assert end["bytes"] >= seen.size


def check_rows(clients: Clients) -> None:
    """Every page and every whole stream has the rows of one upload, and those that were asked for."""
    known = {stamp: rows_of(stamp) for stamp in clients.stamps}
    for seen in clients.record.of(*READS):
        if not seen.is_granted:
            continue
        streamed = seen.said.get("f") == "ndjson"
        rows = [json.loads(line) for line in seen.body.splitlines()] if streamed else seen.json["items"]
        at = int(str(seen.said.get("filter", "> 0")).rpartition(" ")[2]) or int(seen.said.get("at", 0))
        limit = ROWS if streamed else int(seen.said.get("limit", PAGE))
        stamp = seen.said.get("stamp", rows[0]["stamp"])
        assert rows == known[stamp][at : at + limit]


def check_versions(exchange: Exchange, clients: Clients, log: Sequence[Mapping[str, Any]]) -> int:
    """No half version: each has all its objects, which are what they are named, and hold what was uploaded; its entry is there, once."""
    rows = exchange.all("SELECT number, rows, manifest_sha256, original_sha256 FROM versions WHERE dataset = 'bts.flow' ORDER BY number")
    assert [number for number, *_ in rows] == list(range(1, len(rows) + 1))
    entered = [entry for entry in log if entry["kind"] == "publication" and entry["dataset"] == "bts.flow"]
    facts = ("version", "rows", "manifest_sha256", "original_sha256")
    assert [tuple(entry[fact] for fact in facts) for entry in entered] == rows
    uploads = {hashlib.sha256(csv_of(stamp)).hexdigest(): stamp for stamp in clients.stamps}
    made = [uploads[original] for *_, original in rows]
    assert len(set(made)) == len(made), "no upload was published twice"
    for (number, count, _, original), stamp in zip(rows, made, strict=True):
        parts = exchange.all(
            "SELECT sha256, size, rows FROM manifest_objects WHERE dataset = 'bts.flow' AND number = %s ORDER BY position", number
        )
        stored = [body_of(exchange, name, size) for name, size, _ in parts]
        held = [row for part in stored for row in pq.read_table(io.BytesIO(part)).to_pylist()]
        assert sorted(held, key=lambda row: row["number"]) == rows_of(stamp)
        assert count == len(held) == sum(rows for *_, rows in parts)
        assert body_of(exchange, original, None) == csv_of(stamp)
    for seen in clients.record.of("publish"):
        if seen.is_granted:
            assert made[seen.json["version"] - 1] == seen.said["stamp"]
            assert log[seen.json["entry"]]["version"] == seen.json["version"]
    return len(rows)


def body_of(exchange: Exchange, name: str, size: int | None) -> bytes:
    body = bytes(exchange.client.get_object(Bucket=exchange.bucket, Key=f"lake/{name[:2]}/{name}")["Body"].read())
    assert hashlib.sha256(body).hexdigest() == name
    assert size in {None, len(body)}
    return body


def check_acts(exchange: Exchange, clients: Clients, log: Sequence[Mapping[str, Any]]) -> None:
    """What was acknowledged was done, and nothing was done twice, however often it was sent."""
    done = Counter((entry["agreement"], entry["act"], entry["actor"]["organization"]) for entry in log if entry["kind"] == "agreement_act")
    assert set(done.values()) <= {1}, [act for act, times in done.items() if times > 1]
    for seen in clients.record.of("request", "offer", "sign", "revoke"):
        if seen.is_granted:
            assert any((seen.json["id"], seen.what, side) in done for side in ("bts", "dot"))
    terms = [json.loads(bytes(stored)) for (stored,) in exchange.all("SELECT terms FROM agreements")]
    purposes = Counter(purpose for each in terms for purpose in each["purposes"])
    assert set(purposes.values()) == {1}
    for life in clients.lives:
        number = int(str(life["agreement"]).removeprefix("AGR-"))
        assert exchange.all("SELECT state FROM agreements WHERE number = %s", number) == [("REVOKED",)]


def check_jobs(exchange: Exchange) -> None:
    """None is lost, dead or done twice in effect: the newest version is warm somewhere, and who was told of a beginning was told once."""
    late = "state <> 'done' AND NOT periodic AND run_at < now() AND state <> 'discarded'"
    assert exchange.all(f"SELECT number, kind, state, failures, error FROM jobs WHERE {late}") == []
    told = exchange.all("SELECT subject, organization, count(*) FROM notices WHERE kind = 'begin' GROUP BY 1, 2")
    assert {count for *_, count in told} <= {1}
    assert Counter(subject for subject, *_ in told) == Counter(2 * sorted({subject for subject, *_ in told}))
    newest = exchange.all("SELECT manifest_sha256 FROM versions WHERE dataset = 'bts.flow' ORDER BY number DESC LIMIT 1")[0][0]
    locks = [lock for root in exchange.roots for lock in (root / "extracts").glob("*.lock") if lock.read_text() == newest]
    assert any((lock.parent / lock.stem / "serve.duckdb").exists() for lock in locks)


def check_errors(seen: Sequence[Seen]) -> Counter[str]:
    """Each is a problem document that says a reason which it may have, or a connection that broke. Give how often which was seen."""
    told: Counter[str] = Counter()
    for each in seen:
        if not each.is_whole:
            assert each.broken != "TimeoutError", each
            told[f"broken: {each.broken}"] += 1
        elif each.status not in {200, 201}:
            assert each.headers["content-type"] == "application/problem+json", each
            assert each.code in PASSING | CLEAR.get(each.what, set()), each
            assert each.status != 503 or int(each.headers["retry-after"]) > 0
            assert {"detail", "rule", "who_can_change", "next_step", "request_id"} <= set(each.json), each
            told[str(each.code)] += 1
    return told


def check_revocations(clients: Clients) -> list[float]:
    """How long after its revocation was answered the last byte came, of each answer that was under way. None is whole, and none begins."""
    delays = []
    for life in clients.lives:
        for seen in clients.record.of("life", "revoked"):
            if seen.agreement != life["agreement"]:
                continue
            if seen.what == "revoked":
                assert seen.status != 200
            elif seen.status == 200 and seen.ended > float(life["revoked"]):
                assert seen.broken is not None
                delays.append(max(0.0, seen.last - float(life["revoked"])))
    return delays


def check_quotas(exchange: Exchange, clients: Clients, log: Sequence[Mapping[str, Any]], limits: Mapping[str, int]) -> dict[str, int]:
    """Counted is what is entered, never above the limit; what clients were not given of it is no more than answers that broke."""
    used = {}
    for what, limit in limits.items():
        agreement = clients.agreements[what]
        entered = [entry for entry in log if entry["kind"] == "disclosure" and entry.get("agreement", {}).get("id") == agreement]
        (kept,) = exchange.all(
            "SELECT sum(requests)::int, sum(rows)::int FROM agreement_usage WHERE agreement = %s", int(agreement.removeprefix("AGR-"))
        )
        assert kept == (len(entered), sum(entry["rows"] for entry in entered))
        used[what] = kept[what == "rows"]
        assert used[what] <= limit
        seen = clients.record.of(what)
        if any(each.code == "limit_reached" for each in seen):
            assert used[what] > limit - (9 if what == "rows" else 1)
        given = sum(each.is_granted for each in seen)
        unsure = sum(not each.is_granted and each.code != "limit_reached" for each in seen)
        assert given <= len(entered) <= given + unsure
    return used


def check_receipts(exchange: Exchange, clients: Clients) -> int:
    """Each that was given proves its entry, and each checkpoint that was given is one of this log."""
    receipts = [seen for seen in clients.record.of("receipt") if seen.is_granted]
    for seen in receipts:
        assert proved(seen.body.decode(), exchange.verifier) == seen.said["index"]
    notes = [seen.body.decode() for seen in clients.record.of("checkpoint") if seen.is_granted]
    notes += [seen.body.decode().partition("\n\n")[2] for seen in receipts]
    signed = [opened(note, exchange.verifier) for note in notes]
    stored = exchange.all("SELECT data FROM entries WHERE organization = 'bts' ORDER BY number")
    roots = roots_at([bytes(data) for (data,) in stored], [size for size, _ in signed])
    assert signed == [(size, roots[size]) for size, _ in signed]
    return len(receipts)
