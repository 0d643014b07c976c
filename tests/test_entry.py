"""The laws of an audit entry's bytes: one form for one meaning, and nothing else is read."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baybridge.audit.entry import JSON, MAX_ENTRY_BYTES, Entry, Kind, canonical, column_list, decode, encode
from baybridge.errors import BaybridgeError, Corrupt, Invalid

LOG = "exchange.example/audit/bts"
NONCE = bytes(range(16))
TIME = datetime(2026, 11, 5, 13, 7, 9, 42, UTC)
OWN_KEYS = ("format", "log", "kind", "nonce", "time")
SAMPLE = encode({"dataset": "bts.flights", "rows": 100}, log=LOG, kind=Kind.DISCLOSURE, nonce=NONCE, time=TIME)

text = st.text(st.characters(codec="utf-8"), max_size=12)
scalars = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | text
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4), max_leaves=8)
facts_of_any_kind = st.dictionaries(text.filter(lambda key: key not in OWN_KEYS), values, max_size=5)
times = st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(9000, 1, 1), timezones=st.timezones())  # noqa: DTZ001 - a bound


def altered(**changes: JSON) -> bytes:
    """The sample's object with some members changed, in canonical form; None takes a member away."""
    members = json.loads(SAMPLE) | changes
    return canonical({key: value for key, value in members.items() if value is not None})


# Canonical JSON


def test_members_are_ordered_by_utf_16_code_units_as_in_rfc_8785_section_3_2_3() -> None:
    keys = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\x80", "\xf6"]
    expected = '{"\\r":0,"1":0,"\x80":0,"\xf6":0,"\u20ac":0,"\U0001f600":0,"\ufb33":0}'
    assert canonical(dict.fromkeys(keys, 0)).decode() == expected


def test_text_is_escaped_only_where_json_must_as_in_rfc_8785_section_3_2_2_2() -> None:
    assert canonical('\u20ac$\x0f\nA\'B"\\\\"/') == b'"\xe2\x82\xac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"'


@given(values)
def test_a_canonical_value_reads_back_as_itself_in_every_order_of_its_members(value: JSON) -> None:
    data = canonical(value)
    assert json.loads(data) == value
    assert canonical(json.loads(data, object_pairs_hook=lambda pairs: dict(reversed(pairs)))) == data


@pytest.mark.parametrize(
    "value",
    [
        0.5,
        1.0,
        float("nan"),
        float("inf"),
        2**53,
        -(2**53),
        "\ud800",
        {"\udfff": 1},
        {1: 1},
        b"bytes",
        {1},
        object(),
        [[0.5]],
        {"a": {"b": 0.5}},
    ],
)
def test_a_value_without_a_canonical_form_is_refused(value: JSON) -> None:
    with pytest.raises(Invalid) as refusal:
        canonical(value)
    assert refusal.value.__cause__ is None  # the printer's own error would carry the value into a traceback


def test_a_refusal_does_not_repeat_the_value() -> None:
    with pytest.raises(Invalid) as refusal:
        canonical({"rows": 12345678901234567890})
    assert "12345678901234567890" not in str(refusal.value)


def test_depth_is_bounded() -> None:
    value: JSON = 1
    for _ in range(32):
        value = [value]
    assert canonical(value) == b"[" * 32 + b"1" + b"]" * 32
    with pytest.raises(Invalid):
        canonical([value])


# Encoding


def test_an_entry_is_a_canonical_object_with_its_five_keys_and_the_facts() -> None:
    assert SAMPLE == (
        b'{"dataset":"bts.flights","format":1,"kind":"disclosure","log":"exchange.example/audit/bts",'
        b'"nonce":"000102030405060708090a0b0c0d0e0f","rows":100,"time":"2026-11-05T13:07:09.000042Z"}'
    )


@given(facts_of_any_kind, text, st.sampled_from(Kind), st.binary(min_size=16, max_size=16), times)
def test_what_is_encoded_is_decoded(facts: dict[str, JSON], log: str, kind: Kind, nonce: bytes, time: datetime) -> None:
    data = encode(facts, log=log, kind=kind, nonce=nonce, time=time)
    instant = time.astimezone(UTC)  # a wall-clock time that a change of clocks skips or repeats equals nothing but itself
    assert decode(data) == Entry(format=1, log=log, kind=kind, nonce=nonce, time=instant, facts=facts)


def test_tuples_are_lists_and_the_order_of_facts_is_nothing() -> None:
    one = encode({"a": ("x", "y"), "b": 1}, log=LOG, kind=Kind.REFUSAL, nonce=NONCE, time=TIME)
    other = encode({"b": 1, "a": ["x", "y"]}, log=LOG, kind=Kind.REFUSAL, nonce=NONCE, time=TIME)
    assert one == other


def test_an_instant_is_written_in_utc_whatever_zone_it_came_in() -> None:
    eastern = TIME.astimezone(timezone(timedelta(hours=-5)))
    assert encode({"dataset": "bts.flights", "rows": 100}, log=LOG, kind=Kind.DISCLOSURE, nonce=NONCE, time=eastern) == SAMPLE


@pytest.mark.parametrize("key", OWN_KEYS)
def test_a_fact_cannot_override_a_key_of_the_entry(key: str) -> None:
    with pytest.raises(ValueError, match="own keys"):
        encode({key: "forged"}, log=LOG, kind=Kind.DISCLOSURE, nonce=NONCE, time=TIME)


@pytest.mark.parametrize("nonce", [b"", bytes(15), bytes(17)])
def test_a_nonce_is_sixteen_bytes(nonce: bytes) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        encode({}, log=LOG, kind=Kind.DISCLOSURE, nonce=nonce, time=TIME)


def test_a_time_without_a_zone_is_no_instant() -> None:
    with pytest.raises(ValueError, match="zone"):
        encode({}, log=LOG, kind=Kind.DISCLOSURE, nonce=NONCE, time=TIME.replace(tzinfo=None))


def test_an_entry_has_at_most_8192_bytes() -> None:
    room = MAX_ENTRY_BYTES - len(encode({"fact": ""}, log=LOG, kind=Kind.DISCLOSURE, nonce=NONCE, time=TIME))
    longest = encode({"fact": "x" * room}, log=LOG, kind=Kind.DISCLOSURE, nonce=NONCE, time=TIME)
    assert len(longest) == 8192
    assert decode(longest).facts == {"fact": "x" * room}
    with pytest.raises(Invalid):
        encode({"fact": "x" * (room + 1)}, log=LOG, kind=Kind.DISCLOSURE, nonce=NONCE, time=TIME)
    with pytest.raises(Corrupt):
        decode(altered(fact="x" * MAX_ENTRY_BYTES))


def test_kinds_keep_their_names() -> None:
    assert [kind.value for kind in Kind] == [
        "disclosure",
        "stream_ended",
        "refusal",
        "publication",
        "rejects_read",
        "dataset_declared",
        "withdrawal",
        "restoration",
        "purge_begun",
        "purge_done",
        "agreement_act",
        "approvals_required",
        "organization_added",
        "organization_act",
        "principal_added",
        "principal_act",
        "token_issued",
        "token_rotated",
        "token_revoked",
        "counts",
        "side_records_erased",
        "key_rotated",
        "restored",
    ]


# Decoding


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"1",
        b"null",
        b'"text"',
        b"{}",
        SAMPLE + b"\n",
        b" " + SAMPLE,
        b"\xef\xbb\xbf" + SAMPLE,
        SAMPLE.decode().encode("utf-16"),
        SAMPLE.decode().encode("utf-16-be"),
        SAMPLE[:-1],
        SAMPLE + SAMPLE,
        SAMPLE.replace(b":100", b": 100"),
        SAMPLE.replace(b":100", b":100.0"),
        SAMPLE.replace(b":100", b":1e2"),
        SAMPLE.replace(b":100", b":0.5"),
        SAMPLE.replace(b":100", b":-0"),
        SAMPLE.replace(b":100", b":NaN"),
        SAMPLE.replace(b":100", b":9007199254740992"),
        SAMPLE.replace(b":100", b":" + b"9" * 5000),
        SAMPLE.replace(b":100", b':"\\ud800"'),
        SAMPLE.replace(b":100", b':"\xed\xa0\x80"'),
        SAMPLE.replace(b":100", b':"\xff"'),
        SAMPLE.replace(b":100", b':"\\u0041"'),
        SAMPLE.replace(b":100", b":" + b"[" * 4000 + b"]" * 4000),
        SAMPLE.replace(b'"rows":100', b'"rows":100,"rows":100'),
        SAMPLE.replace(b'"dataset":"bts.flights",', b"").replace(b'"rows":100', b'"rows":100,"dataset":"bts.flights"'),
        json.dumps(json.loads(SAMPLE)).encode(),
    ],
    ids=lambda data: f"{len(data)} bytes",
)
def test_bytes_in_any_other_form_are_no_entry(data: bytes) -> None:
    with pytest.raises(Corrupt):
        decode(data)


@pytest.mark.parametrize("form", [None, 0, 2, True, "1", [1]])
def test_an_unknown_format_is_not_read(form: JSON) -> None:
    with pytest.raises(Corrupt, match="format"):
        decode(altered(format=form))


@pytest.mark.parametrize("key", ["log", "kind", "nonce", "time"])
@pytest.mark.parametrize("value", [None, 7, True, ["x"], {}])
def test_an_entry_without_one_of_its_keys_as_text_is_refused(key: str, value: JSON) -> None:
    with pytest.raises(Corrupt):
        decode(altered(**{key: value}))


@pytest.mark.parametrize(
    "nonce", ["", "00", "0" * 31, "0" * 33, "0" * 64, "A" * 32, "g" * 32, " " + "0" * 31, "0" * 32 + "\n", "\u0663" * 32]
)
def test_a_nonce_has_one_written_form(nonce: str) -> None:
    with pytest.raises(Corrupt):
        decode(altered(nonce=nonce))


@pytest.mark.parametrize("kind", ["", "Disclosure", "disclosure\n", "a b", "_a", "1a", "a" * 64])
def test_a_kind_is_a_name(kind: str) -> None:
    with pytest.raises(Corrupt):
        decode(altered(kind=kind))


def test_a_kind_that_is_newer_than_its_reader_is_read() -> None:
    assert decode(altered(kind="version_withdrawn")).kind == "version_withdrawn"


@pytest.mark.parametrize(
    "time",
    [
        "",
        "2026-11-05T13:07:09Z",
        "2026-11-05T13:07:09.042Z",
        "2026-11-05T13:07:09.000042",
        "2026-11-05T13:07:09.000042+00:00",
        "2026-11-05T13:07:09.000042z",
        "2026-11-05t13:07:09.000042Z",
        "2026-11-05 13:07:09.000042Z",
        "2026-11-05T13:07:09,000042Z",
        "20261105T130709.000042Z",
        "2026-11-05T13:07:09.0000420Z",
        "2026-11-05T13:07:09.000042Z\n",
        "2026-13-05T13:07:09.000042Z",
        "2026-02-29T13:07:09.000042Z",
        "2026-11-05T24:00:00.000000Z",
        "2026-11-05T13:07:60.000042Z",
        "0000-11-05T13:07:09.000042Z",
        "\u0662026-11-05T13:07:09.000042Z",
    ],
)
def test_an_instant_has_one_written_form(time: str) -> None:
    with pytest.raises(Corrupt):
        decode(altered(time=time))


@given(st.integers(0, len(SAMPLE) - 1), st.integers(1, 255))
def test_a_changed_byte_is_refused_or_means_something_else(at: int, mask: int) -> None:
    assert_refused_or_exact(SAMPLE[:at] + bytes([SAMPLE[at] ^ mask]) + SAMPLE[at + 1 :])


@given(st.binary(max_size=40) | values.map(canonical))
def test_what_is_no_entry_is_refused(data: bytes) -> None:
    assert_refused_or_exact(data)


def assert_refused_or_exact(data: bytes) -> None:
    """No two byte strings are the same entry: what is read, written again, is what was read."""
    try:
        entry = decode(data)
    except BaybridgeError as error:
        assert isinstance(error, Corrupt)  # noqa: PT017 - being refused is one of two right answers
        return
    again = dict(entry.facts) | {"format": entry.format, "log": entry.log, "kind": entry.kind, "nonce": entry.nonce.hex()}
    assert canonical(again | {"time": entry.time.strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")}) == data
    assert entry != decode(SAMPLE)


# Column lists


def test_a_short_column_list_names_its_columns_in_their_order() -> None:
    assert column_list(("tail_number", "origin")) == ["tail_number", "origin"]
    assert column_list([]) == []


@pytest.mark.parametrize(("length", "listed"), [(4091, True), (4092, False)])
def test_a_column_list_is_named_while_its_json_is_under_4096_bytes(length: int, listed: bool) -> None:  # noqa: FBT001 - expected
    assert (column_list(["x" * length]) == ["x" * length]) is listed


def test_a_long_column_list_is_counted_and_hashed() -> None:
    names = [f"column_{number:04}" for number in range(2000)]
    digest = sha256(json.dumps(names, separators=(",", ":")).encode()).hexdigest()
    assert column_list(names) == {"count": 2000, "sha256": digest}
    assert column_list(names[::-1]) != column_list(names)


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=200), max_size=60), st.integers(1, 200))
def test_no_column_list_can_fill_an_entry(names: list[str], times_over: int) -> None:
    facts: dict[str, JSON] = {"columns": column_list(names * times_over)}
    assert len(encode(facts, log=LOG, kind=Kind.DISCLOSURE, nonce=NONCE, time=TIME)) < 4096 + 200
