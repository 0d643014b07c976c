"""The SDK against real servers: the exchange's own, and small ones that answer what a test needs."""

from __future__ import annotations

import contextlib
import http.server
import json
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from conftest import FLIGHTS, Server, World, make_world, serving

from baybridge.client import Client, RowsRejected, exceptions
from baybridge.errors import BaybridgeError, Conflict, Corrupt, Invalid, NotFound, Refused, Unavailable
from baybridge.http.app import ROUTES
from baybridge.wire.audit import CheckpointCopyRequest
from baybridge.wire.collections import DeclareRequest, ItemsShape
from baybridge.wire.shape import LinkShape
from baybridge.wire.terms import TermsShape

pytestmark = pytest.mark.xdist_group("client")

ODD_NAMES = ("plain", "with,comma", "-signed", "+plus", 'quo"te', " led", "trailed ", "späce name")


@dataclass(frozen=True)
class Answer:
    """What a small server answers."""

    status: int
    body: str = "{}"
    media_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass
class SmallServer:
    """A server that gives its answers in order, the last one for ever, and keeps what it was asked."""

    url: str
    asked: list[tuple[str, str]] = field(default_factory=list)
    authorized: list[str | None] = field(default_factory=list)


@contextlib.contextmanager
def answering(*answers: Answer) -> Iterator[SmallServer]:
    left = list(answers)

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            small.asked.append((self.command, self.path.partition("?")[0]))
            small.authorized.append(self.headers.get("authorization"))
            self.rfile.read(int(self.headers.get("content-length", 0)))
            answer = left.pop(0) if len(left) > 1 else left[0]
            body = answer.body.encode()
            self.send_response(answer.status)
            for name, value in (("content-type", answer.media_type), ("content-length", str(len(body))), *answer.headers):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 -- names of the library

        def log_message(self, *_: object) -> None:
            """Keep the test's output to the test."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        small = SmallServer(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield small
        finally:
            server.shutdown()
            thread.join()


def problem(status: int, code: str, **members: object) -> Answer:
    body = {"type": f"/docs/errors#{code}", "title": "t", "status": status, "detail": "d", "code": code, **members}
    return Answer(status, json.dumps(body), "application/problem+json")


def refusal(act: object, *arguments: object, **named: object) -> BaybridgeError:
    with pytest.raises(BaybridgeError) as caught:
        act(*arguments, **named)
    return caught.value


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = make_world(tmp_path_factory.mktemp("client") / "home")
    made.publish("bts.flights", FLIGHTS, key=("flight",))
    made.sign(made.terms())
    yield made
    made.exchange.close()


@pytest.fixture(scope="module")
def server(exchange: World) -> Iterator[Server]:
    with serving(exchange.root) as served:
        yield served


def acting(exchange: World, server: Server, organization: str, role: str, *, purpose: str | None = None) -> Client:
    return Client(server.url, exchange.secrets[organization, role], purpose=purpose)


def test_every_address_of_the_api_has_a_method() -> None:
    """An oracle from the server's own table: each method is called once, and what it asked for is matched against each route."""
    with answering(Answer(404, "no", "text/plain")) as small, Client(small.url, "bb_x") as client:
        terms = TermsShape(dataset="a.b", columns=["c"], purposes=["p"], provider_authority="x", consumer_authority="y", start="s", end="e")
        calls = [
            client.whoami,
            lambda: client.witnessed("bts"),
            lambda: client.witness("bts", CheckpointCopyRequest(key="", checkpoints={})),
            client.organizations,
            lambda: client.principals("bts"),
            lambda: client.add_principal("bts", "n", roles=["steward"]),
            lambda: client.principal("prn_1"),
            lambda: client.set_roles("prn_1", ["analyst"]),
            lambda: client.confirm_roles("prn_1"),
            lambda: client.suspend_principal("prn_1", "r"),
            lambda: client.resume_principal("prn_1", "r"),
            lambda: client.offboard_principal("prn_1", "r"),
            lambda: client.tokens("bts"),
            client.openapi,
            lambda: client.rotate_token("tok_1"),
            lambda: client.issue_token("prn_1"),
            lambda: client.revoke_token("tok_1"),
            client.collections,
            lambda: client.collection("bts.t"),
            lambda: client.declare("bts.t", DeclareRequest()),
            lambda: client.schema("bts.t"),
            lambda: client.schema("bts.t", 1),
            lambda: client.rejects("bts.t"),
            lambda: client.rejects("bts.t", 1),
            lambda: client.versions("bts.t"),
            lambda: client.version("bts.t", 1),
            lambda: client.publish("bts.t", [b"a\n"]),
            lambda: client.items("bts.t"),
            lambda: client.items("bts.t", version=1),
            lambda: client.items("bts.t", filter="a" * 5000),
            lambda: client.items("bts.t", filter="a" * 5000, version=1),
            lambda: client.queryables("bts.t"),
            lambda: client.withdraw("bts.t", "r"),
            lambda: client.withdraw_version("bts.t", 1, "r"),
            lambda: client.restore("bts.t"),
            lambda: client.restore_version("bts.t", 1),
            lambda: client.purge("bts.t", "r", "0"),
            lambda: client.purge("bts.t", "r", "0", version=1),
            lambda: client.profile("bts.t"),
            lambda: client.profile("bts.t", version=1),
            lambda: client.statistics("bts.t"),
            lambda: client.statistics("bts.t", version=1),
            lambda: list(client.changes("bts.t", 1)),
            lambda: list(client.changes("bts.t", 1, version=2)),
            lambda: client.diff("bts.t", 1, 2),
            client.agreements,
            lambda: client.agreement_text("AGR-1"),
            lambda: client.counter("AGR-1", terms),
            lambda: client.approve("AGR-1", "counsel", "0"),
            lambda: client.successor("AGR-1"),
            lambda: client.close_agreement("AGR-1", "s"),
            client.umbrellas,
            lambda: client.umbrella("UMB-1"),
            lambda: client.request_umbrella("t", [terms]),
            lambda: client.offer_umbrella("UMB-1"),
            lambda: client.sign_umbrella("UMB-1", "0"),
            client.notices,
            lambda: client.mark_read(1),
            lambda: client.required_approvals("bts"),
            lambda: client.require_approvals("bts", ["counsel"]),
            lambda: client.request_agreement(terms),
            lambda: client.check_request(terms),
            lambda: client.agreement("AGR-1"),
            lambda: client.offer("AGR-1"),
            lambda: client.sign("AGR-1", "0"),
            lambda: client.suspend("AGR-1", "r"),
            lambda: client.resume("AGR-1", "r"),
            lambda: client.revoke("AGR-1", "r"),
            lambda: client.terminate("AGR-1", "r"),
            lambda: client.checkpoint("bts"),
            lambda: client.verifier("bts"),
            lambda: client.keys("bts"),
            lambda: client.entries("bts"),
            lambda: client.tile("bts", 0, 1234067),
            lambda: client.bundle("bts", 0, 7),
            lambda: client.inclusion_proof("bts", 1),
            lambda: client.consistency_proof("bts", 1, 2),
            lambda: client.receipt("bts", 1),
            lambda: client.erase_side_records("bts"),
        ]
        for call in calls:
            refusal(call)
    routes = {(method, each.path) for each in ROUTES if each.path.startswith("/api/") for method in (each.methods or set()) - {"HEAD"}}
    reached = [
        next(((method, each.path) for each in ROUTES if method in (each.methods or ()) and each.path_regex.fullmatch(path)), (method, path))
        for method, path in small.asked
    ]
    assert set(reached) == routes
    assert len(small.asked) == len(calls)


@pytest.mark.parametrize(
    ("status", "code", "kind", "exit_code"),
    [
        (400, "unknown_column", exceptions.UnknownColumn, 2),
        (401, "not_signed_in", exceptions.NotSignedIn, 4),
        (403, "agreement_revoked", exceptions.AgreementRevoked, 5),
        (403, "request_pending", exceptions.RequestPending, 6),
        (404, "not_found", NotFound, 7),
        (409, "conflict", Conflict, 8),
        (422, "rows_rejected", RowsRejected, 8),
        (503, "query_limit", exceptions.QueryLimit, 75),
        (500, "corrupt", Corrupt, 9),
        (500, "internal", exceptions.Internal, 10),
        # codes of a server newer than this client
        (400, "from_the_future", Invalid, 2),
        (401, "from_the_future", Refused, 4),
        (403, "from_the_future", Refused, 5),
        (404, "from_the_future", NotFound, 7),
        (410, "from_the_future", NotFound, 7),
        (409, "from_the_future", Conflict, 8),
        (412, "from_the_future", Conflict, 8),
        (429, "from_the_future", Unavailable, 75),
        (503, "from_the_future", Unavailable, 75),
        (500, "from_the_future", BaybridgeError, 10),
        (418, "from_the_future", BaybridgeError, 10),
    ],
)
def test_a_problem_becomes_the_error_of_its_status_and_keeps_its_code(status: int, code: str, kind: type, exit_code: int) -> None:
    places = [{"parameter": "filter", "message": "m", "column": 3, "hint": "h"}]
    sent = problem(status, code, rule="r", who_can_change="w", next_step="n", next_command="c", next_url="u", errors=places, retry=7)
    with answering(sent) as small, Client(small.url, patience=0) as client:
        error = refusal(client.items, "bts.t")
    assert type(error) is kind
    assert (error.code, error.detail, error.facts.exit_code) == (code, "d", exit_code)
    assert (error.advice.rule, error.advice.who_can_change, error.advice.next_step) == ("r", "w", "n")
    assert (error.advice.next_command, error.advice.next_url) == ("c", "u")
    assert [(each.parameter, each.message, each.column, each.hint) for each in error.places] == [("filter", "m", 3, "h")]
    if kind is not RowsRejected:
        assert error.retry_after == 7


def test_a_problem_with_members_of_a_newer_server_is_still_read() -> None:
    with answering(problem(403, "no_agreement", brand_new={"x": 1})) as small, Client(small.url) as client:
        assert refusal(client.whoami).code == "no_agreement"


def test_a_member_that_a_newer_server_adds_is_skipped_wherever_it_stands() -> None:
    link = {"rel": "self", "href": "/x", "title": "new"}
    dataset = {"id": "a.b", "organization": "a", "title": "", "description": "", "access": "public", "license": {"new": [1]}}
    said = {"collections": [{**dataset, "version": None, "rows": None, "updated": None, "links": [link]}], "matched": 1}
    with answering(Answer(200, json.dumps(said))) as small, Client(small.url) as client:
        assert [(each.id, each.links[0].href) for each in client.collections().collections] == [("a.b", "/x")]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Answer(502, "<html>", "text/html"), "unreachable"),
        (Answer(504, "", "text/plain"), "unreachable"),
        (Answer(500, "<html>", "text/html"), "answer_not_understood"),
        (Answer(403, "{}", "application/problem+json"), "answer_not_understood"),
        (Answer(200, "<html>", "text/html"), "answer_not_understood"),
        (Answer(200, '{"id": 1}'), "answer_not_understood"),
    ],
)
def test_what_no_baybridge_server_says_is_an_error_that_says_so(answer: Answer, code: str) -> None:
    with answering(answer) as small, Client(small.url) as client:
        error = refusal(client.whoami)
    assert error.code == code
    assert error.facts.exit_code == 10
    assert error.advice.next_step


def test_a_server_that_is_not_there_is_unreachable_with_a_next_step() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and nobody listens
        with Client(f"http://127.0.0.1:{taken.getsockname()[1]}", "bb_secret") as client:
            error = refusal(client.whoami)
    assert isinstance(error, Unavailable)
    assert (error.code, error.facts.exit_code) == ("unreachable", 10)
    assert error.advice.next_step
    assert "bb_secret" not in str(error)


def test_a_server_that_does_not_answer_in_time_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, Client(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.1) as client:
        assert refusal(client.whoami).code == "unreachable"


def test_a_redirect_is_not_followed_so_the_token_goes_nowhere_else() -> None:
    with answering(Answer(200)) as elsewhere:
        moved = Answer(307, headers=(("location", elsewhere.url + "/api/v1/whoami"),))
        with answering(moved) as small, Client(small.url, "bb_secret") as client:
            refusal(client.whoami)
        assert small.authorized == ["Bearer bb_secret"]
        assert elsewhere.asked == []


@pytest.mark.parametrize("href", ["{elsewhere}/x", "//{host}/x"])
def test_a_next_page_on_another_host_is_not_followed(href: str) -> None:
    with answering(Answer(200)) as elsewhere:
        link = href.format(elsewhere=elsewhere.url, host=elsewhere.url.removeprefix("http://"))
        page = json.dumps({"version": 1, "items": [{"a": 1}], "links": [{"rel": "next", "href": link}]})
        with answering(Answer(200, page)) as small, Client(small.url, "bb_secret") as client:
            assert refusal(list, client.pages("bts.t")).code == "answer_not_understood"
        assert elsewhere.asked == []


def test_a_read_is_asked_again_while_its_extract_is_being_made() -> None:
    page = Answer(200, '{"version": 1, "items": [], "links": []}')
    with answering(problem(503, "extract_building", retry=0), page) as small, Client(small.url) as client:
        found = client.items("bts.t")
    assert (found.version, found.items, found.links) == (1, [], [])
    assert len(small.asked) == 2


@pytest.mark.parametrize(
    ("answer", "patience"),
    [
        (problem(503, "extract_building", retry=5), 1.0),
        (problem(503, "query_limit", retry=0), 30.0),
        (problem(503, "extract_building"), 30.0),
    ],
)
def test_a_read_is_asked_once_where_waiting_cannot_help(answer: Answer, patience: float) -> None:
    with answering(answer) as small, Client(small.url, patience=patience) as client:
        assert isinstance(refusal(client.items, "bts.t"), Unavailable)
    assert len(small.asked) == 1


def test_a_token_may_end_as_its_file_does(exchange: World, server: Server) -> None:
    with Client(server.url, f" {exchange.secrets['dot', 'analyst']}\r\n") as client:
        assert client.whoami().organization == "dot"


@pytest.mark.parametrize("name", ["properties", "sortby"])
def test_one_text_is_not_a_list_of_names(name: str) -> None:
    with Client("http://127.0.0.1:1") as client:
        error = refusal(client.items, "bts.flights", **{name: "flight"})
    assert (error.code, error.places[0].parameter) == ("invalid_request", name)
    assert "a list of names" in error.detail


@pytest.mark.parametrize("method", ["items", "pages", "rows", "table", "stream_rows", "download"])
def test_an_argument_that_no_question_has_is_told_in_the_methods_name(method: str, tmp_path: Path) -> None:
    path = (tmp_path / "rows.csv",) if method == "download" else ()
    with Client("http://127.0.0.1:1") as client, pytest.raises(TypeError) as wrong:
        getattr(client, method)("bts.flights", *path, sort_by=["flight"])
    assert str(wrong.value) == f"{method}() got an unexpected keyword argument 'sort_by'. Did you mean 'sortby'?"


@pytest.mark.parametrize("token", ["", "two words", "line\nbreak", "ünicode"])
def test_a_malformed_token_is_refused_before_anything_is_sent_and_never_repeated(token: str) -> None:
    error = refusal(Client, "http://127.0.0.1:1", token)
    assert isinstance(error, Invalid)
    assert not token or token not in str(error)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:8080",
        "ftp://host",
        "http://",
        "http://user:secret@host",
        "http://host?x=1",
        "http://[",
        "http://host:99999",
        "file:///x",
    ],
)
def test_a_malformed_address_is_refused_and_not_repeated(url: str) -> None:
    error = refusal(Client, url)
    assert isinstance(error, Invalid)
    assert "secret" not in str(error)


@pytest.mark.parametrize("name", ["", ".", "..", "../whoami", "a/b", "bts.t?x=1", "bts.t#x"])
def test_a_name_cannot_leave_its_place_in_a_path(name: str) -> None:
    with answering(problem(404, "not_found")) as small, Client(small.url) as client:
        refusal(client.collection, name)
    assert all(path.startswith("/api/v1/collections/") and path.count("/") == 4 for _, path in small.asked)


def test_a_filter_too_long_for_an_address_is_sent_in_a_body_and_its_pages_followed(exchange: World, server: Server) -> None:
    long = " OR ".join(f"flight = {number}" for number in range(1000))
    with acting(exchange, server, "dot", "analyst", purpose="noise-study") as client:
        whole = client.items("bts.flights")
        assert client.items("bts.flights", filter=long).items == whole.items
        pages = list(client.pages("bts.flights", filter=long, limit=2))
        assert [len(page.items) for page in pages] == [2, 2, 1]
        assert [row for page in pages for row in page.items] == whole.items
        assert list(client.stream_rows("bts.flights", filter=long)) == whole.items
        assert client.table("bts.flights", filter=long, limit=3).items == whole.items[:3]


def test_a_question_refuses_a_name_that_it_has_not() -> None:
    with Client("http://127.0.0.1:1") as client, pytest.raises(TypeError, match="filtre"):
        client.items("bts.t", filtre="a = 1")


def test_the_rows_of_all_pages_are_the_rows_of_one(exchange: World, server: Server) -> None:
    with acting(exchange, server, "dot", "analyst", purpose="noise-study") as client:
        whole = client.items("bts.flights", sortby=["-delay"])
        assert [link.rel for link in whole.links] == ["self"]
        pages = list(client.pages("bts.flights", sortby=["-delay"], limit=2))
        assert [len(page.items) for page in pages] == [2, 2, 1]
        assert {page.version for page in pages} == {whole.version}
        assert list(client.rows("bts.flights", sortby=["-delay"], limit=2)) == whole.items
        assert [row["flight"] for row in whole.items] == [6, 7, 2, 4, 3]
        only = client.items("bts.flights", filter="delay > 100", properties=["delay", "flight"], version=1)
        assert only.items == [{"delay": 120, "flight": 6}]


def test_purpose_and_agreement_are_sent_with_the_question(exchange: World, server: Server) -> None:
    with acting(exchange, server, "dot", "analyst") as client:
        assert refusal(client.items, "bts.flights").code == "purpose_required"
        assert refusal(client.items, "bts.flights", purpose="marketing").code == "purpose_not_allowed"
        assert len(client.items("bts.flights", purpose="noise-study", agreement="AGR-0001").items) == 5
        assert refusal(client.items, "bts.flights", purpose="noise-study", agreement="AGR-9999").code == "no_agreement"


def test_any_column_name_can_be_asked_for_and_sorted_by(exchange: World, server: Server) -> None:
    header = ",".join('"' + name.replace('"', '""') + '"' for name in ODD_NAMES)
    with acting(exchange, server, "bts", "steward") as steward:
        steward.declare("bts.odd", DeclareRequest(title="Odd", access="public"))
        steward.publish(
            "bts.odd", [f"{header}\n{','.join('1' * len(ODD_NAMES))}\n{','.join('2' * len(ODD_NAMES))}\n".encode()], accept_schema=True
        )
    with Client(server.url) as public:
        for name in ODD_NAMES:
            signed = f"+{name}" if name[:1] in "+-" else name
            assert public.items("bts.odd", properties=[name], sortby=[signed]).items == [{name: 1}, {name: 2}]
            assert public.items("bts.odd", properties=[name], sortby=[f"-{name}"]).items == [{name: 2}, {name: 1}]
        assert list(public.items("bts.odd", properties=ODD_NAMES).items[0]) == list(ODD_NAMES)


def test_a_publication_reports_and_its_rejects_are_raised_with_the_report(exchange: World, server: Server, tmp_path: Path) -> None:
    file = tmp_path / "f.csv"
    file.write_bytes(b"a,b\n1,x\n2,NA\n")
    with acting(exchange, server, "bts", "steward") as steward:
        steward.declare("bts.sent", DeclareRequest(title="Sent"))
        report = steward.publish("bts.sent", file, null=["NA"], key=["a"], accept_schema=True)
        assert (report.version, report.rows_read, report.rows_loaded, report.rows_rejected) == (1, 2, 2, 0)
        with file.open("rb") as opened:
            assert steward.publish("bts.sent", opened).version == 2
        bad = [b"a,b\nzz,x\n", b"2,y\n"]
        tried = steward.publish("bts.sent", bad, dry_run=True)
        assert (tried.published, tried.rows_rejected) == (False, 1)
        with pytest.raises(RowsRejected) as caught:
            steward.publish("bts.sent", bad)
        assert caught.value.report is not None
        assert [(each.row, each.column, each.value) for each in caught.value.report.rejects] == [(1, "a", "zz")]
        assert "zz" not in str(caught.value)
        assert steward.versions("bts.sent").versions[0].version == 2
        assert isinstance(refusal(steward.publish, "bts.sent", bad, null=["a,b"]), Invalid)


def test_a_refused_upload_is_told_why_though_the_server_reads_none_of_it(exchange: World, server: Server) -> None:
    sent = (b"a,b\n" + b"1,x\n" * 100_000 for _ in range(50))
    with acting(exchange, server, "dot", "analyst") as analyst:
        assert refusal(analyst.publish, "bts.flights", sent).code == "token_wrong_organisation"


def test_people_and_tokens_are_kept_by_an_agencys_admin(exchange: World, server: Server) -> None:
    with acting(exchange, server, "dot", "admin") as admin:
        added = admin.add_principal("dot", "A second analyst", roles=["analyst"])
        issued = admin.issue_token(added.id, purpose="noise-study")
        with Client(server.url, issued.token) as second:
            assert (second.whoami().id, second.whoami().purpose) == (added.id, "noise-study")
            assert len(second.items("bts.flights").items) == 5
            admin.revoke_token(issued.id)
            assert refusal(second.whoami).code == "not_signed_in"
        assert added.id in {each.id for each in admin.principals("dot").principals}
        assert refusal(admin.principals, "bts").code == "token_wrong_organisation"
        assert {each.name for each in admin.organizations().organizations} == {"bts", "dot"}


def test_an_agreement_goes_its_whole_way_over_http(exchange: World, server: Server) -> None:
    roles = [("dot", "analyst"), ("dot", "signatory"), ("bts", "steward"), ("bts", "signatory")]
    with contextlib.ExitStack() as stack:
        analyst, consumer, steward, provider = (stack.enter_context(acting(exchange, server, *role)) for role in roles)
        asked = analyst.request_agreement(exchange.terms(purposes=["the-whole-way"]))
        assert steward.offer(asked.id).state == "OFFERED"
        assert refusal(provider.sign, asked.id, "0" * 64).code == "conflict"
        provider.sign(asked.id, asked.terms_sha256)
        assert refusal(analyst.items, "bts.flights", agreement=asked.id, purpose="the-whole-way").code == "request_pending"
        signed = consumer.sign(asked.id, asked.terms_sha256)
        assert [each.organization for each in signed.signatures] == ["bts", "dot"]
        assert len(analyst.items("bts.flights", purpose="the-whole-way").items) == 5
        assert steward.suspend(asked.id, "why").reason == "why"
        assert refusal(analyst.items, "bts.flights", purpose="the-whole-way").code == "agreement_suspended"
        steward.resume(asked.id, "well")
        assert steward.revoke(asked.id, "done").state == analyst.agreement(asked.id).state == "REVOKED"
        assert refusal(analyst.items, "bts.flights", purpose="the-whole-way").code == "agreement_revoked"
        other = analyst.request_agreement(exchange.terms(purposes=["never"]))
        assert analyst.terminate(other.id, "not needed").state == "TERMINATED"
        assert {asked.id, other.id} <= {each.id for each in analyst.agreements().agreements}


def test_an_auditor_verifies_the_log_offline_and_sees_a_foreign_checkpoint(exchange: World, server: Server) -> None:
    with acting(exchange, server, "bts", "auditor") as auditor:
        kept = auditor.checkpoint("bts")
        verdict = auditor.verify_log("bts", [kept])
        assert verdict.findings == ()
        assert verdict.size >= int(kept.splitlines()[1]) > 0
        assert [index for index, _ in auditor.all_entries("bts")] == list(range(verdict.size))
        foreign = auditor.checkpoint("dot")
        for note in (foreign, kept.replace(kept.splitlines()[1], "1", 1), "no note"):
            assert len(auditor.verify_log("bts", [note]).findings) == 1
    with acting(exchange, server, "bts", "steward") as steward:
        assert refusal(steward.verify_log, "bts").code == "role_required"


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE entries SET data = replace(data, '\"publication\"', '\"publicatiom\"') WHERE organization = 'bts' AND number = 8",
        "DELETE FROM entries WHERE organization = 'bts' AND number = 8",
        "DELETE FROM entries WHERE organization = 'bts' AND number > 8",
    ],
)
def test_an_auditor_sees_what_was_done_to_the_log_without_trusting_the_server(tmp_path: Path, damage: str) -> None:
    world = make_world(tmp_path / "home")
    for _ in range(3):
        world.publish("bts.flights", FLIGHTS, key=("flight",))
    kept = world.exchange.watch.checkpoint("bts")
    world.exchange.close()
    with contextlib.closing(sqlite3.connect(world.root / "catalog.sqlite")) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        assert connection.execute(damage).rowcount > 0
        connection.commit()
    with serving(world.root) as server, Client(server.url, world.secrets["bts", "auditor"]) as auditor:
        assert auditor.verify_log("bts", [kept]).findings


def test_a_page_says_where_the_next_one_is() -> None:
    page = ItemsShape(version=1, items=[], links=[LinkShape(rel="self", href="/x"), LinkShape(rel="next", href="/api/v1/y?cursor=z")])
    body = json.dumps({"version": 1, "items": [], "links": []})
    first = json.dumps({"version": 1, "items": [], "links": [{"rel": each.rel, "href": each.href} for each in page.links]})
    with answering(Answer(200, first), Answer(200, body)) as small, Client(small.url) as client:
        assert len(list(client.pages("bts.t"))) == 2
    assert small.asked[1] == ("GET", "/api/v1/y")


def test_the_client_needs_nothing_of_the_server() -> None:
    """Run with everything hidden that only baybridge[server] installs, and look at what was imported."""
    script = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"duckdb", "sqlalchemy", "alembic", "starlette", "uvicorn", "httptools", "pandas", "pyarrow"}:
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Hidden())
import baybridge.client
ours = sorted(name for name in sys.modules if name.startswith("baybridge."))
third = sorted({name.partition(".")[0] for name in sys.modules} & {"httpx2", "msgspec", "cryptography", "rfc8785"})
print(ours, third)
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    allowed = {"audit", "client", "errors", "names", "terms", "wire"}  # of the terms, what a column's type is
    ours, third = ran.stdout.strip().split("] [")
    assert {name.strip("'[], ").split(".")[1] for name in ours.split(",")} <= allowed
    assert third == "'cryptography', 'httpx2', 'msgspec', 'rfc8785']"
