"""The SDK: every address of a Baybridge server as a method with typed shapes. It knows `wire` and the proofs, never the server."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final, Self, TypeVar, Unpack

import httpx2
import msgspec

from baybridge.audit.checkpoint import Verifier
from baybridge.audit.rotation import KeyChain
from baybridge.client.answers import RowsRejected, error_of, not_understood, read, require_success
from baybridge.client.logs import LogVerdict, judge
from baybridge.client.questions import API, Asked, Question, dataset_path, header, next_path, part
from baybridge.errors import Advice, BaybridgeError, Invalid, Place, Unavailable
from baybridge.names import parse_purpose
from baybridge.wire.agreements import AgreementShape, AgreementsShape, OfferRequest, ReasonRequest, SignRequest
from baybridge.wire.audit import EntriesShape, KeysShape, VerifierShape
from baybridge.wire.collections import (
    CollectionShape,
    CollectionsShape,
    DeclareRequest,
    ItemsShape,
    PublishReport,
    VersionShape,
    VersionsShape,
)
from baybridge.wire.principals import OrganizationsShape, PrincipalRequest, PrincipalShape, PrincipalsShape, TokenRequest, TokenShape
from baybridge.wire.terms import TermsShape

__all__ = ["Client", "LogVerdict", "Question", "RowsRejected", "chunks"]

_CHUNK: Final = 1 << 20
_MAX_PORT: Final = 65535
_KEPT: Final = httpx2.Limits(keepalive_expiry=2)  # seconds; less than servers keep idle connections, or requests would meet a closing one
_LOOPBACK: Final = ("all://localhost", "all://127.0.0.1", "all://[::1]")

T = TypeVar("T")


class Client:
    """One server, as one caller. Use it in a `with` block, or call `close`.

    Every method raises the BaybridgeError of the server's code: Invalid, Refused, NotFound, Conflict, Unavailable or Corrupt, with the
    server's advice; `unreachable` where no server answers. Reads are asked again while an extract is being made, for `patience` seconds.
    """

    def __init__(
        self, url: str, token: str | None = None, *, purpose: str | None = None, timeout: float = 30.0, patience: float = 30.0
    ) -> None:
        """`purpose` is sent with every read; `timeout` is in seconds, for each request. Raise Invalid for a malformed argument."""
        headers = {"accept": "application/json, application/problem+json"}
        if token is not None:
            headers["authorization"] = "Bearer " + header(token, "token")
        if purpose is not None:
            headers["baybridge-purpose"] = parse_purpose(purpose)
        self.url = _address(url)
        self._timeout = timeout
        self._patience = patience
        # A proxy of the environment is for other hosts than this one.
        self._http = httpx2.Client(base_url=self.url, headers=headers, timeout=timeout, limits=_KEPT, mounts=dict.fromkeys(_LOOPBACK))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def whoami(self) -> PrincipalShape:
        """The principal of the token."""
        return self._get(f"{API}/whoami", PrincipalShape)

    def organizations(self) -> OrganizationsShape:
        """All agencies."""
        return self._get(f"{API}/organizations", OrganizationsShape)

    def principals(self, organization: str) -> PrincipalsShape:
        """An agency's principals, to its admins."""
        return self._get(f"{_organization(organization)}/principals", PrincipalsShape)

    def add_principal(self, organization: str, name: str, *, roles: Sequence[str], kind: str = "person") -> PrincipalShape:
        """Add a person or a service account."""
        asked = PrincipalRequest(name=name, kind=kind, roles=list(roles))
        return read(self._send("POST", f"{_organization(organization)}/principals", asked), PrincipalShape)

    def issue_token(self, principal: str, *, expires: str | None = None, purpose: str | None = None) -> TokenShape:
        """Issue a token for a principal's id; its text is in this answer and in no other."""
        return read(self._send("POST", f"{API}/tokens", TokenRequest(principal=principal, expires=expires, purpose=purpose)), TokenShape)

    def revoke_token(self, token_id: str) -> None:
        """Revoke a token by its id."""
        require_success(self._send("DELETE", f"{API}/tokens/{part(token_id)}"))

    def collections(self) -> CollectionsShape:
        """All datasets."""
        return self._get(f"{API}/collections", CollectionsShape)

    def collection(self, dataset: str) -> CollectionShape:
        """One dataset."""
        return self._get(dataset_path(dataset), CollectionShape)

    def schema(self, dataset: str, version: int | None = None) -> dict[str, Any]:
        """A dataset's schema, or that of one of its versions, as Frictionless Table Schema."""
        pinned = "" if version is None else f"/versions/{version:d}"
        return self._get(f"{dataset_path(dataset)}{pinned}/schema", dict[str, Any])

    def versions(self, dataset: str) -> VersionsShape:
        """A dataset's versions, newest first."""
        return self._get(f"{dataset_path(dataset)}/versions", VersionsShape)

    def version(self, dataset: str, number: int) -> VersionShape:
        """One version."""
        return self._get(f"{dataset_path(dataset)}/versions/{number:d}", VersionShape)

    def declare(self, dataset: str, declaration: DeclareRequest) -> CollectionShape:
        """Make a dataset known, or change what is said of it."""
        return read(self._send("PUT", dataset_path(dataset), declaration), CollectionShape)

    def publish(
        self,
        dataset: str,
        source: Path | BinaryIO | Iterable[bytes],
        *,
        null: Sequence[str] = (),
        key: Sequence[str] = (),
        accept_schema: bool = False,
        dry_run: bool = False,
    ) -> PublishReport:
        """Send a CSV as the dataset's next version, as it is read. Raise RowsRejected, with the report, where cells do not fit.

        `null` are the words that mean null beside the empty one, `key` the columns of the key; both only count while the dataset has
        no schema. A dry run answers with its report, whatever it finds, and writes nothing.
        """
        if any("," in each for each in (*null, *key)):
            raise Invalid("invalid_request", "null and key take words without a comma; declare a schema that has them instead.")
        parameters = {
            "null": ",".join(null),
            "key": ",".join(key),
            "accept_schema": "true" if accept_schema else "",
            "dry_run": "true" if dry_run else "",
        }
        request = self._http.build_request(
            "POST",
            f"{dataset_path(dataset)}/versions",
            params={name: value for name, value in parameters.items() if value},
            content=chunks(source),
            headers={"content-type": "text/csv"},
            timeout=httpx2.Timeout(self._timeout, read=None, write=None),  # a publication takes as long as its file
        )
        return read(self._answer(request), PublishReport)

    def items(self, dataset: str, **question: Unpack[Question]) -> ItemsShape:
        """One page of rows."""
        asked = Asked(**question)
        return self._get(asked.path(dataset), ItemsShape, asked.parameters(), asked.headers())

    def pages(self, dataset: str, **question: Unpack[Question]) -> Iterator[ItemsShape]:
        """All pages from the one asked for to the last, of one version; `limit` is the size of each."""
        asked = Asked(**question)
        page = self._get(asked.path(dataset), ItemsShape, asked.parameters(), asked.headers())
        yield page
        while (following := next_path(page)) is not None:
            page = self._get(following, ItemsShape, None, asked.headers())
            yield page

    def rows(self, dataset: str, **question: Unpack[Question]) -> Iterator[dict[str, Any]]:
        """All rows of the pages, one by one."""
        for page in self.pages(dataset, **question):
            yield from page.items

    def agreements(self) -> AgreementsShape:
        """The agreements that the caller's organization is a party to."""
        return self._get(f"{API}/agreements", AgreementsShape)

    def agreement(self, agreement_id: str) -> AgreementShape:
        """One agreement."""
        return self._get(_agreement(agreement_id), AgreementShape)

    def request_agreement(self, terms: TermsShape) -> AgreementShape:
        """Ask a provider for an agreement with these terms."""
        return read(self._send("POST", f"{API}/agreements", terms), AgreementShape)

    def offer(self, agreement_id: str, terms: TermsShape | None = None) -> AgreementShape:
        """Offer exact terms, or those that were asked for."""
        return self._act(agreement_id, "offer", OfferRequest(terms=terms))

    def sign(self, agreement_id: str, terms_sha256: str) -> AgreementShape:
        """Sign for the caller's side, over the digest of the terms that the caller has read."""
        return self._act(agreement_id, "sign", SignRequest(terms_sha256=terms_sha256))

    def suspend(self, agreement_id: str, reason: str) -> AgreementShape:
        """Stop all reading until it is resumed."""
        return self._act(agreement_id, "suspend", ReasonRequest(reason=reason))

    def resume(self, agreement_id: str, reason: str) -> AgreementShape:
        """Lift a suspension."""
        return self._act(agreement_id, "resume", ReasonRequest(reason=reason))

    def revoke(self, agreement_id: str, reason: str) -> AgreementShape:
        """End an agreement for good."""
        return self._act(agreement_id, "revoke", ReasonRequest(reason=reason))

    def terminate(self, agreement_id: str, reason: str) -> AgreementShape:
        """End a negotiation that is not signed by both sides."""
        return self._act(agreement_id, "terminate", ReasonRequest(reason=reason))

    def checkpoint(self, organization: str) -> str:
        """The log as it stands now, as a C2SP signed note."""
        response = self._send("GET", f"{_audit(organization)}/checkpoint")
        require_success(response)
        return response.text

    def verifier(self, organization: str) -> str:
        """The log's public key as a C2SP verifier key."""
        return self._get(f"{_audit(organization)}/verifier", VerifierShape).verifier

    def entries(self, organization: str, *, start: int = 0, limit: int = 1000) -> EntriesShape:
        """A run of a log's entries, to its organization's auditors."""
        return self._get(f"{_audit(organization)}/entries", EntriesShape, {"start": str(start), "limit": str(limit)})

    def all_entries(self, organization: str) -> Iterator[tuple[int, bytes]]:
        """Every entry, as index and bytes, that the log had at the first answer; it grows while it is read."""
        start, size = 0, 1
        while start < size:
            run = self.entries(organization, start=start)
            size = run.size if start == 0 else size
            if not run.entries:
                return
            for each in run.entries:
                try:
                    yield each.index, base64.b64decode(each.data, validate=True)
                except ValueError as wrong:
                    raise not_understood(f"{_audit(organization)}/entries") from wrong
            start = run.entries[-1].index + 1

    def keys(self, organization: str) -> KeyChain:
        """The log's public keys, from the first on, each handed over to the next by a note that both signed. Raise Corrupt otherwise."""
        shape = self._get(f"{_audit(organization)}/keys", KeysShape)
        return KeyChain.follow(Verifier.parse(shape.first), shape.rotations)

    def verify_log(self, organization: str, checkpoints: Sequence[str] = (), key: str | None = None) -> LogVerdict:
        """Fetch every entry of a log as its auditor, and replay them here against the server's checkpoint and those given.

        Only a checkpoint that was kept elsewhere shows a log that was cut or rewritten as a whole, for the server signs what it has.
        `key` is a verifier key that was kept elsewhere. Raise Corrupt when the log's keys do not lead on from it.
        """
        present = self.checkpoint(organization)
        keys = self.keys(organization)
        if key is not None:
            keys.require(Verifier.parse(key))
        return judge(organization, self.all_entries(organization), keys=keys, notes=(present, *checkpoints))

    def _act(self, agreement_id: str, act: str, body: object) -> AgreementShape:
        return read(self._send("POST", f"{_agreement(agreement_id)}/{act}", body), AgreementShape)

    def _get(self, path: str, shape: type[T], parameters: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None) -> T:
        """Read, and read again while the server says that the extract is being made; nothing else is ever sent twice."""
        deadline = time.monotonic() + self._patience
        while True:
            response = self._answer(self._http.build_request("GET", path, params=parameters, headers=headers))
            if response.status_code != httpx2.codes.SERVICE_UNAVAILABLE:
                return read(response, shape)
            error = error_of(response)
            pause = error.retry_after
            if error.code != "extract_building" or pause is None or time.monotonic() + pause > deadline:
                raise error
            time.sleep(pause)

    def _send(self, method: str, path: str, body: object = None) -> httpx2.Response:
        content = None if body is None else msgspec.json.encode(body)
        headers = None if body is None else {"content-type": "application/json"}
        return self._answer(self._http.build_request(method, path, content=content, headers=headers))

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        try:
            return self._http.send(request)
        except httpx2.TimeoutException as wrong:
            raise self._unreachable(f"did not answer within {self._timeout:g} seconds") from wrong
        except httpx2.HTTPError as wrong:
            raise self._unreachable("cannot be reached, or broke the connection off") from wrong

    def _unreachable(self, what: str) -> BaybridgeError:
        return Unavailable(
            "unreachable",
            f"The server at {self.url} {what}.",
            advice=Advice(
                rule="Commands without --home speak HTTP with a running server.",
                who_can_change="you, or the operator of the server",
                next_step="Check the address (--url or BAYBRIDGE_URL), and that the server runs.",
                next_command=f"curl {self.url}/livez",
            ),
        )


def _address(url: str) -> str:
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        parsed = httpx2.URL("")
    host = bool(parsed.host) and "%" not in parsed.host and (parsed.port or 0) <= _MAX_PORT
    if parsed.scheme in {"http", "https"} and host and not parsed.userinfo and not parsed.query and not parsed.fragment:
        return url.rstrip("/")
    raise Invalid(
        "invalid_request",
        "The server's address is not an http or https URL.",
        places=(Place("url", "https://HOST, without a user, a query or a fragment"),),
    )


def _organization(organization: str) -> str:
    return f"{API}/organizations/{part(organization)}"


def _agreement(agreement_id: str) -> str:
    return f"{API}/agreements/{part(agreement_id)}"


def _audit(organization: str) -> str:
    return f"{API}/audit/{part(organization)}"


def chunks(source: Path | BinaryIO | Iterable[bytes]) -> Iterator[bytes]:
    """The bytes of a file, an open file or an iterable, in pieces of at most 1 MiB where they are read here."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            yield from chunks(file)
    elif hasattr(source, "read"):
        while chunk := source.read(_CHUNK):
            yield chunk
    else:
        yield from source
