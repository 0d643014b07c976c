"""Agreements: asked for, offered, approved, signed, shown, suspended, resumed, revoked, renewed, ended and closed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from baybridge.cli.dataset import names
from baybridge.cli.printing import next_move, table
from baybridge.cli.session import Door, Session, door_options, read_json
from baybridge.wire.agreements import AgreementShape, AgreementsShape
from baybridge.wire.terms import TermsShape

_MASKS = "pseudonym, redact, null, year, month, prefix(3), round(-2), bucket(0,18,65), generalize(LIST) (with --file, which holds the list)"
terms_file = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)


@click.group()
def agreement() -> None:
    """Agreements between a provider and a consumer."""


@agreement.command("request")
@click.option("--file", "file", type=terms_file, help="The terms as JSON, in place of all options below; - for standard input.")
@click.option("--dataset", metavar="ORG.NAME", help="The dataset.")
@click.option("--columns", metavar="A,B", help="The columns to be released, in this order.")
@click.option("--filter", "row_filter", metavar="CQL2", help="The rows to be released: \"origin = 'JFK'\". [default: all]")
@click.option("--mask", "masks", multiple=True, metavar="COLUMN=MASK", help=f"In place of a column's values: {_MASKS}; repeatable.")
@click.option("--purpose", "purposes", multiple=True, metavar="CODE", help="What the rows are for; repeatable.")
@click.option("--provider-authority", metavar="TEXT", help="The law under which the provider may give the rows.")
@click.option("--consumer-authority", metavar="TEXT", help="The law under which the consumer may have them.")
@click.option("--start", metavar="INSTANT", help="From when, with its zone: 2027-01-01T00:00:00-05:00.")
@click.option("--end", metavar="INSTANT", help="Until when, exclusive.")
@click.option("--pseudonym-domain", metavar="NAME", help="Agreements of one domain get equal pseudonyms. [default: a domain of its own]")
@click.option(
    "--destroy-within",
    type=click.IntRange(min=1),
    metavar="DAYS",
    help="Days after the end to state the destruction in. [default: no date]",
)
@click.option("--dry-run", is_flag=True, help="Check the terms, print them and their digest, and ask for nothing.")
@door_options
def request(session: Session, *, file: Path | None, dry_run: bool, **options: Any) -> None:
    """Ask a provider for an agreement with these terms."""
    if file is not None and any(options.values()):
        raise click.UsageError("--file holds all terms: leave the other options out.")
    shape = _from_options(options) if file is None else read_json(file, TermsShape)
    if dry_run:
        with session.door() as door:
            checked = door.check_request(shape)
        session.show(checked, [*_terms_lines(checked.terms), f"  digest      {checked.terms_sha256}"])
        return
    with session.door() as door:
        asked = door.request_agreement(shape)
    session.show(asked, _lines(asked))


@agreement.command("offer")
@click.argument("agreement_id", metavar="ID")
@click.option("--file", "file", type=terms_file, help="Other terms, as JSON. [default: those that were asked for]")
@door_options
def offer(session: Session, agreement_id: str, file: Path | None) -> None:
    """Offer exact terms, as the provider's steward. Possible until both sides have signed; other terms void what was signed."""
    terms = None if file is None else read_json(file, TermsShape)
    with session.door() as door:
        offered = door.offer(agreement_id, terms)
    session.show(offered, _lines(offered))


@agreement.command("counter")
@click.argument("agreement_id", metavar="ID")
@click.option("--file", "file", type=terms_file, required=True, help="The terms that you ask for instead, as JSON.")
@door_options
def counter(session: Session, agreement_id: str, file: Path) -> None:
    """Ask for other terms than those that stand, as the consumer. What was signed is void."""
    terms = read_json(file, TermsShape)
    with session.door() as door:
        asked = door.counter(agreement_id, terms)
    session.show(asked, _lines(asked))


@agreement.command("approve")
@click.argument("agreement_id", metavar="ID")
@click.option("--role", required=True, metavar="ROLE", help="As which officer: privacy_officer, security_officer or counsel.")
@click.option("--digest", required=True, metavar="SHA256", help="The digest of the terms that you have read; `agreement show` prints it.")
@door_options
def approve(session: Session, agreement_id: str, role: str, digest: str) -> None:
    """Approve the terms with that digest for your agency, before its signatory signs."""
    with session.door() as door:
        approved = door.approve(agreement_id, role, digest)
    session.show(approved, _lines(approved))


@agreement.command("sign")
@click.argument("agreement_id", metavar="ID")
@click.option("--digest", required=True, metavar="SHA256", help="The digest of the terms that you have read; `agreement show` prints it.")
@door_options
def sign(session: Session, agreement_id: str, digest: str) -> None:
    """Sign the terms with that digest for your side. The second side's signature puts them in force."""
    with session.door() as door:
        signed = door.sign(agreement_id, digest)
    session.show(signed, _lines(signed))


@agreement.command("show")
@click.argument("agreement_id", metavar="ID")
@door_options
def show(session: Session, agreement_id: str) -> None:
    """Show an agreement, its terms and where it stands."""
    with session.door() as door:
        found = door.agreement(agreement_id)
    session.show(found, _lines(found))


@agreement.command("text")
@click.argument("agreement_id", metavar="ID")
@door_options
def text(session: Session, agreement_id: str) -> None:
    """Print the terms in plain words: what is signed."""
    with session.door() as door:
        words = door.agreement_text(agreement_id)
    session.show({"id": agreement_id, "text": words}, words.splitlines())


@agreement.command("renew")
@click.argument("agreement_id", metavar="ID")
@click.option("--start", metavar="INSTANT", help="From when, with its zone. [default: as before]")
@click.option("--end", required=True, metavar="INSTANT", help="Until when, exclusive.")
@door_options
def renew(session: Session, agreement_id: str, start: str | None, end: str) -> None:
    """Begin a successor with the same terms and another end. It takes the agreement's place once both sides have signed it."""
    with session.door() as door:
        present = door.agreement(agreement_id)
        if present.terms is None:
            raise click.UsageError(f"The terms of {agreement_id} are not understood by this server, so they cannot be renewed.")
        begun = door.successor(agreement_id, msgspec.structs.replace(present.terms, start=start or present.terms.start, end=end))
    session.show(begun, _lines(begun))


@agreement.command("amend")
@click.argument("agreement_id", metavar="ID")
@click.option("--file", "file", type=terms_file, required=True, help="The new terms, as JSON.")
@door_options
def amend(session: Session, agreement_id: str, file: Path) -> None:
    """Begin a successor with other terms. The agreement stays in force as it is until both sides have signed the successor."""
    terms = read_json(file, TermsShape)
    with session.door() as door:
        begun = door.successor(agreement_id, terms)
    session.show(begun, _lines(begun))


@agreement.command("terminate")
@click.argument("agreement_id", metavar="ID")
@click.option("--reason", required=True, metavar="TEXT", help="Why; kept with the agreement, for both parties.")
@click.option("--code", metavar="CODE", help="Why, as a code. [default: declined, or withdrawn]")
@door_options
def terminate(session: Session, agreement_id: str, reason: str, code: str | None) -> None:
    """End a negotiation that is not signed by both sides."""
    with session.door() as door:
        ended = door.terminate(agreement_id, reason, code)
    session.show(ended, _lines(ended))


@agreement.command("close")
@click.argument("agreement_id", metavar="ID")
@click.option("--statement", required=True, metavar="TEXT", help="What became of the data that you received.")
@door_options
def close(session: Session, agreement_id: str, statement: str) -> None:
    """State, as the consumer, that what was received under an agreement that has ended is destroyed."""
    with session.door() as door:
        closed = door.close_agreement(agreement_id, statement)
    session.show(closed, _lines(closed))


@agreement.command("list")
@click.option("--overdue", is_flag=True, help="Only those whose statement of destruction is overdue.")
@door_options
def list_(session: Session, *, overdue: bool) -> None:
    """List the agreements that your agency is a party to."""
    with session.door() as door:
        found = door.agreements()
    if overdue:
        found = AgreementsShape(agreements=[each for each in found.agreements if each.overdue])
    rows = [
        [
            each.id,
            each.state,
            each.dataset,
            each.consumer,
            "" if each.terms is None else each.terms.end,
            "" if each.terms is None else ", ".join(each.terms.purposes),
        ]
        for each in found.agreements
    ]
    session.show(found, table(["id", "state", "dataset", "consumer", "end", "purposes"], rows))


def _reasoned(name: str, rule: str, act: Callable[[Door, str, str], AgreementShape]) -> None:
    """Add the command of an act that takes a reason."""

    @agreement.command(name, help=rule)
    @click.argument("agreement_id", metavar="ID")
    @click.option("--reason", required=True, metavar="TEXT", help="Why; kept with the agreement, for both parties.")
    @door_options
    def command(session: Session, agreement_id: str, reason: str) -> None:
        with session.door() as door:
            moved = act(door, agreement_id, reason)
        session.show(moved, _lines(moved))


_reasoned("suspend", "Stop all reading until it is resumed, as the provider.", lambda door, name, reason: door.suspend(name, reason))
_reasoned("resume", "Lift a suspension, as the provider.", lambda door, name, reason: door.resume(name, reason))
_reasoned(
    "revoke",
    "End an agreement for good, as the provider: refused everywhere within a second.",
    lambda door, name, reason: door.revoke(name, reason),
)


def _from_options(options: dict[str, Any]) -> TermsShape:
    needed = ("dataset", "columns", "purposes", "provider_authority", "consumer_authority", "start", "end")
    missing = [f"--{name.replace('_', '-').replace('purposes', 'purpose')}" for name in needed if not options[name]]
    if missing:
        raise click.UsageError(f"Terms need {', '.join(missing)} (or --file).")
    masks = dict(each.rpartition("=")[::2] for each in options["masks"])
    if "" in masks or len(masks) != len(options["masks"]):
        raise click.UsageError("--mask takes COLUMN=MASK, once for each column.")
    return TermsShape(
        dataset=options["dataset"],
        columns=list(names(options["columns"])),
        purposes=list(options["purposes"]),
        provider_authority=options["provider_authority"],
        consumer_authority=options["consumer_authority"],
        start=options["start"],
        end=options["end"],
        row_filter=options["row_filter"],
        masks=masks,
        linkage=options["pseudonym_domain"] is not None,  # who names a domain wants its agreements to join
        pseudonym_domain=options["pseudonym_domain"],
        destroy_within_days=options["destroy_within"],
    )


def _lines(shape: AgreementShape) -> Iterator[str]:
    yield f"{shape.id}: {shape.state}"
    yield f"  provider    {shape.provider}"
    yield f"  consumer    {shape.consumer}"
    if shape.terms is None:
        yield "  terms       not understood by this server; nothing is served under them"
    else:
        yield from _terms_lines(shape.terms)
    yield f"  digest      {shape.terms_sha256}"
    for approval in shape.approvals:
        yield f"  approved    {approval.time} by {approval.principal}, {approval.role} of {approval.organization}"
    for each in shape.signatures:
        yield f"  signed      {each.time} by {each.principal} of {each.organization}, for the {each.side.lower()}"
    if shape.reason is not None:
        yield f"  reason      {shape.reason}"
    related = (
        ("umbrella", shape.umbrella),
        ("statement", shape.statement),
        ("destroy by", shape.destroy_by and shape.destroy_by + (", overdue" if shape.overdue else "")),
        ("supersedes", shape.supersedes),
        ("took over", shape.took_over),
        ("successor", shape.successor),
        ("handed over", shape.handed_over),
    )
    for what, said in related:
        if said is not None:
            yield f"  {what:<12}{said}"
    yield from next_move(shape.state, shape.provider, shape.consumer, f"agreement sign {shape.id} --digest {shape.terms_sha256}")
    if shape.state == "REQUESTED":
        yield f"next: a steward of {shape.provider}: baybridge agreement offer {shape.id}"


def _terms_lines(terms: TermsShape) -> Iterator[str]:
    yield f"  dataset     {terms.dataset}"
    for name in terms.columns:
        mask = terms.masks.get(name)
        yield f"  column      {name}" + (f", as {mask}" if mask else "")
    yield f"  rows        {terms.row_filter or 'all'}"
    yield f"  purposes    {', '.join(terms.purposes)}"
    yield f"  provider's  {terms.provider_authority}"
    yield f"  consumer's  {terms.consumer_authority}"
    yield f"  term        {terms.start} until {terms.end}"
    yield f"  versions    {terms.history}"
    yield f"  linkage     {'allowed' if terms.linkage else 'not allowed'}"
    if terms.pseudonym_domain is not None:
        yield f"  pseudonyms  of the domain {terms.pseudonym_domain}"
    for what, limit in (("requests", terms.requests_per_day), ("rows", terms.rows_per_day)):
        if limit is not None:
            yield f"  at most     {limit:,} {what} a day"
    if terms.destroy_within_days is not None:
        yield f"  destroy     within {terms.destroy_within_days:,} days after its end"
    for name, codes in terms.code_lists.items():
        yield f"  code list   {name}, {len(codes.codes)} codes, any other becomes {codes.otherwise}"
