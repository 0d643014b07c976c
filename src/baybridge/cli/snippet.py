"""`snippet`: the lines that read a dataset from another language, with version, agreement and purpose filled in. Never a token."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import click

from baybridge.cli.session import Session, server_options
from baybridge.client import Client
from baybridge.wire.agreements import AgreementShape


@dataclass(frozen=True, slots=True)
class _Reading:
    """What every language says in its own way."""

    server: str
    dataset: str
    public: bool
    version: int | None
    agreement: str | None
    purpose: str | None
    remark: str | None = None
    """Why the lines would be refused as things stand."""

    def url(self) -> str:
        pinned = "" if self.version is None else f"/versions/{self.version}"
        return f"{self.server}/api/v1/collections/{self.dataset}{pinned}/items"

    def headers(self) -> dict[str, str]:
        said = {"Baybridge-Purpose": self.purpose, "Baybridge-Agreement": self.agreement}
        return {name: value for name, value in said.items() if value is not None}


def _python(reading: _Reading) -> list[str]:
    named = {"version": reading.version, "agreement": reading.agreement, "purpose": reading.purpose}
    arguments = "".join(f", {name}={json.dumps(value)}" for name, value in named.items() if value is not None)
    token = "" if reading.public else ', os.environ["BAYBRIDGE_TOKEN"]'
    return [
        *([] if reading.public else ["import os"]),
        "from baybridge.client import Client",
        "",
        f"with Client({json.dumps(reading.server)}{token}) as client:",
        f"    for row in client.rows({json.dumps(reading.dataset)}{arguments}):",
        "        print(row)",
    ]


def _curl(reading: _Reading) -> list[str]:
    said = [f"-H {shlex.quote(f'{name}: {value}')}" for name, value in reading.headers().items()]
    caller = [] if reading.public else ['-H "Authorization: Bearer $BAYBRIDGE_TOKEN"']
    return [" \\\n  ".join([f"curl --fail-with-body {shlex.quote(reading.url())}", *caller, *said])]


def _r(reading: _Reading) -> list[str]:
    said = "".join(f", {json.dumps(name)} = {json.dumps(value)}" for name, value in reading.headers().items())
    return [
        "library(httr2)",
        f"answer <- request({json.dumps(reading.url())}) |>",
        *([f"  req_headers({said[2:]}) |>"] if said else []),
        *([] if reading.public else ['  req_auth_bearer_token(Sys.getenv("BAYBRIDGE_TOKEN")) |>']),
        "  req_perform() |>",
        "  resp_body_json(simplifyVector = TRUE)",
        "answer$items",
    ]


def _javascript(reading: _Reading) -> list[str]:
    caller = [] if reading.public else ["Authorization: `Bearer ${process.env.BAYBRIDGE_TOKEN}`"]
    said = [*caller, *(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in reading.headers().items())]
    return [
        f"const answer = await fetch({json.dumps(reading.url())}, {{",
        f"  headers: {{ {', '.join(said)} }},",
        "});",
        "if (!answer.ok) throw new Error((await answer.json()).detail);",
        "console.log((await answer.json()).items);",
    ]


_LANGUAGES: Final[dict[str, Callable[[_Reading], list[str]]]] = {"python": _python, "curl": _curl, "r": _r, "javascript": _javascript}


@click.command()
@click.argument("dataset")
@click.option("--lang", type=click.Choice(list(_LANGUAGES)), default="python", show_default=True, help="The language.")
@click.option("--agreement", metavar="ID", help="The agreement to read under. [default: the first in force that allows the purpose]")
@click.option("--purpose", metavar="CODE", help="The purpose. [default: the token's, else the first one of the agreement]")
@server_options
def snippet(session: Session, dataset: str, lang: str, agreement: str | None, purpose: str | None) -> None:
    """Print lines that read DATASET as it stands now, from another language.

    The token is read from BAYBRIDGE_TOKEN when the lines run; it is never printed.
    """
    with session.client() as client:
        reading = _reading(client, dataset, agreement, purpose)
    lines = _LANGUAGES[lang](reading)
    if session.as_json:
        session.show({"language": lang, "snippet": "\n".join(lines), "remark": reading.remark}, ())
    else:
        click.echo("\n".join(lines))
    if reading.remark is not None:
        session.note(f"note: {reading.remark}")


def _reading(client: Client, dataset: str, agreement: str | None, purpose: str | None) -> _Reading:
    found = client.collection(dataset)
    if found.access == "public":
        return _Reading(client.url, found.id, public=True, version=found.version, agreement=None, purpose=purpose)
    me = client.whoami()
    purpose = purpose or me.purpose
    fits = [each for each in client.agreements().agreements if _fits(each, found.id, me.organization, agreement)]
    chosen = next((each for each in fits if purpose in _purposes(each)), fits[0] if fits else None)
    named = agreement or (None if chosen is None else chosen.id)
    remark = None if me.organization == found.organization else _remark(found.id, chosen, agreement, purpose)
    purpose = purpose or (next(iter(_purposes(chosen)), None) if chosen is not None else None)
    return _Reading(client.url, found.id, public=False, version=found.version, agreement=named, purpose=purpose, remark=remark)


def _purposes(agreement: AgreementShape) -> list[str]:
    return [] if agreement.terms is None else agreement.terms.purposes


def _remark(dataset: str, chosen: AgreementShape | None, named: str | None, purpose: str | None) -> str | None:
    """Why a party would be refused the lines as things stand, or None."""
    if chosen is None:
        missing = "no agreement of your organization" if named is None else f"{named} is no agreement of your organization"
        return f"{missing} over {dataset}{' is in force' if named is None else ''}: the lines are refused until there is one."
    if chosen.state != "ACTIVE":
        return f"{chosen.id} is {chosen.state}, not in force: the lines are refused."
    if purpose is not None and purpose not in _purposes(chosen):
        return f"{chosen.id} does not allow the purpose {purpose}: the lines are refused. It allows: {', '.join(_purposes(chosen))}."
    return None


def _fits(each: AgreementShape, dataset: str, consumer: str, named: str | None) -> bool:
    mine = each.dataset == dataset and each.consumer == consumer
    return mine and (each.state == "ACTIVE" if named is None else each.id == named)
