"""The clients of the storm: what they ask, at random and all at once, and how they go on when it fails."""

from __future__ import annotations

import itertools
import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from swarm.nodes import Swarm
from swarm.record import Question, Record, Seen, ask

FLOW, LONG = "/api/v1/collections/bts.flow", "/api/v1/collections/bts.long"
ROWS, PAGE = 300, 25
WEIGHTS = {
    "page": 40,
    "filter": 16,
    "stream": 10,
    "requests": 9,
    "rows": 9,
    "receipt": 8,
    "checkpoint": 4,
    "publish": 3,
    "life": 1,
}
SIGNING = (("offer", "bts", "steward"), ("sign", "bts", "signatory"), ("sign", "dot", "signatory"))
PATIENCE = 60


def rows_of(stamp: str) -> list[dict[str, object]]:
    """The rows of the upload that is named so."""
    return [{"number": number, "stamp": stamp, "word": f"{stamp} {number * 7919 % 1000:04}"} for number in range(ROWS)]


def csv_of(stamp: str) -> bytes:
    return b"number,stamp,word\n" + "".join(f"{row['number']},{row['stamp']},{row['word']}\n" for row in rows_of(stamp)).encode()


@dataclass
class Clients:
    """Everyone who asks. `agreements` are the ids of those that stand throughout, by purpose; `secrets` the tokens, by whose they are."""

    swarm: Swarm
    secrets: Mapping[tuple[str, str], str]
    agreements: Mapping[str, str]
    seed: int
    record: Record = field(default_factory=Record)
    stamps: list[str] = field(default_factory=list)
    """Of all uploads that were ever sent."""
    lives: list[dict[str, float | str]] = field(default_factory=list)
    """Of each agreement that was revoked in the storm: its id, and when the revocation was answered."""
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _tasks: Iterator[str] = field(default_factory=lambda: iter(()))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, requests: int, *, threads: int) -> None:
        """Until so many requests have been sent."""
        chance = random.Random(self.seed)
        first = sorted(WEIGHTS)
        chance.shuffle(first)
        weighted = (chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0] for _ in itertools.count())
        self._tasks = itertools.chain(first, weighted)
        with ThreadPoolExecutor(threads, "client") as pool:
            running = [pool.submit(self._work, random.Random(f"{self.seed} {each}"), requests) for each in range(threads)]
            for each in running:
                each.result()

    def _work(self, chance: random.Random, requests: int) -> None:
        tasks: dict[str, Callable[[random.Random], object]] = {
            "page": self.walk,
            "filter": self.filter,
            "stream": self.stream,
            "requests": lambda chance: self.read(chance, "requests", {"limit": 1}),
            "rows": lambda chance: self.read(chance, "rows", {"limit": chance.randint(1, 9)}),
            "receipt": self.receipt,
            "checkpoint": lambda chance: self.send(chance, Question("checkpoint", "GET", "/api/v1/audit/bts/checkpoint")),
            "publish": self.publish,
            "life": self.live,
        }
        while len(self.record.seen) < requests:
            with self._lock:
                task = next(self._tasks)
            tasks[task](chance)

    def send(self, chance: random.Random, question: Question) -> Seen:
        """To any server that serves now. Who is refused for a moment waits for one."""
        while not (living := self.swarm.living()):
            time.sleep(0.05)
        node, url = chance.choice(sorted(living.items()))
        seen = self.record.add(ask(node, url, question))
        if seen.status in {None, 503}:
            time.sleep(chance.uniform(0.1, 0.5))
        return seen

    def read(self, chance: random.Random, purpose: str, said: Mapping[str, object], path: str = f"{FLOW}/items") -> Seen:
        address = path + ("?" + "&".join(f"{name}={quote(str(value))}" for name, value in said.items()) if said else "")
        agreement = self.agreements[purpose]
        return self.send(chance, Question(purpose, "GET", address, self.secrets["dot", "analyst"], purpose, agreement, said=said))

    def walk(self, chance: random.Random) -> None:
        """A first page, and often the next ones."""
        seen, at = self.read(chance, "pages", {"limit": PAGE}), 0
        while seen.is_granted and chance.random() < 0.5:
            links = {each["rel"]: each["href"] for each in seen.json["links"]}
            if "next" not in links:
                return
            at += PAGE
            token, agreement = self.secrets["dot", "analyst"], self.agreements["pages"]
            said = {"limit": PAGE, "at": at, "stamp": seen.json["items"][0]["stamp"]}
            seen = self.send(chance, Question("pages", "GET", links["next"], token, "pages", agreement, said=said))

    def filter(self, chance: random.Random) -> None:
        self.read(chance, "pages", {"filter": f"number >= {chance.randrange(ROWS)}", "limit": PAGE})

    def stream(self, chance: random.Random) -> None:
        self.read(chance, "pages", {"f": "ndjson"})

    def receipt(self, chance: random.Random) -> None:
        """The proof of an entry whose answer came."""
        own = [each.entry for each in self.record.of("pages")[-200:] if each.is_granted]
        if own:
            index = chance.choice(own)
            path = f"/api/v1/audit/bts/receipts/{index}"
            self.send(chance, Question("receipt", "GET", path, self.secrets["dot", "analyst"], said={"index": index}))

    def act(self, chance: random.Random, question: Question) -> Seen:
        """Send an act until it is known what came of it, under one key, so that it is done once."""
        deadline = time.monotonic() + PATIENCE
        while True:
            seen = self.send(chance, question)
            if seen.is_whole and seen.status != 503 and seen.code != "request_under_way":
                return seen
            assert time.monotonic() < deadline, f"nobody answers {question.method} {question.path}: {seen}"
            time.sleep(float(seen.headers.get("retry-after", 0.3)) / 2)

    def publish(self, chance: random.Random) -> None:
        """A next version, whose rows all carry the name of their upload."""
        stamp = f"u{self.seed}x{next(self._numbers)}"
        self.stamps.append(stamp)
        token = self.secrets["bts", "steward"]
        self.act(chance, Question("publish", "POST", f"{FLOW}/versions", token, body=csv_of(stamp), key=stamp, said={"stamp": stamp}))

    def live(self, chance: random.Random) -> None:
        """An agreement's life: asked for, offered, signed by both, read on all servers, revoked in the middle of that."""
        purpose = f"life-{self.seed}-{next(self._numbers)}"
        agreement = self._sign(chance, purpose)
        if agreement is None:
            return
        question = Question("life", "GET", f"{LONG}/items?f=ndjson", self.secrets["dot", "analyst"], purpose, agreement)
        ends = time.monotonic() + PATIENCE
        with ThreadPoolExecutor(8, "reader") as readers:
            reading = [readers.submit(self._read_slowly, node, question, ends) for node in self.swarm.living()]
            time.sleep(chance.uniform(1.5, 3.5))
            steward = self.secrets["bts", "steward"]
            body, path = json.dumps({"reason": "as the storm says"}).encode(), f"/api/v1/agreements/{agreement}/revoke"
            revoked = self.act(chance, Question("revoke", "POST", path, steward, agreement=agreement, body=body, key=f"{purpose} revoke"))
            if revoked.is_granted:
                self.lives.append({"agreement": agreement, "purpose": purpose, "revoked": revoked.ended})
            for each in reading:
                each.result()
        time.sleep(max(0.0, revoked.ended + 1 - time.monotonic()))
        for node, url in self.swarm.living().items():
            self.record.add(ask(node, url, Question("revoked", "GET", f"{LONG}/items?limit=1", question.token, purpose, agreement)))

    def _sign(self, chance: random.Random, purpose: str) -> str | None:
        """Its id once both have signed; None where it is not known what came of an act."""
        now = datetime.now(UTC)
        terms = {
            "dataset": "bts.long",
            "columns": ["number", "word"],
            "purposes": [purpose],
            "provider_authority": "49 U.S.C. 6302",
            "consumer_authority": "Charter, section 191",
            "start": (now + timedelta(seconds=1.5)).isoformat(),
            "end": (now + timedelta(days=365)).isoformat(),
        }
        asked = Question(
            "request", "POST", "/api/v1/agreements", self.secrets["dot", "analyst"], body=json.dumps(terms).encode(), key=purpose
        )
        made = self.act(chance, asked)
        if not made.is_granted:
            return None
        agreement = str(made.json["id"])
        for number, (act, *whose) in enumerate(SIGNING):
            body = {"terms": None} if act == "offer" else {"terms_sha256": made.json["terms_sha256"]}
            token, path = self.secrets[whose[0], whose[1]], f"/api/v1/agreements/{agreement}/{act}"
            acted = Question(act, "POST", path, token, agreement=agreement, body=json.dumps(body).encode(), key=f"{purpose} {number}")
            if not self.act(chance, acted).is_granted:
                return None
        return agreement

    def _read_slowly(self, node: str, question: Question, ends: float) -> None:
        """A whole answer, a little at a time, from that server: again until it has begun, or was refused for good."""
        while time.monotonic() < ends and (url := self.swarm.living().get(node)) is not None:
            seen = self.record.add(ask(node, url, question, pace=lambda: time.sleep(0.01) is None and time.monotonic() < ends))
            if seen.status == 200 or (seen.code or "").startswith("agreement_revoked"):
                return
            time.sleep(0.2)
