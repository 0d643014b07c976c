"""CQL2-JSON, and the standard's own examples: one tree for both encodings, and where and how JSON is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from baybridge.errors import Invalid
from baybridge.terms import cql2

EXAMPLES = [
    line.split("\t")
    for line in (Path(__file__).parent / "fixtures" / "cql2_examples.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]


def refused(document: str | bytes) -> tuple[str, str]:
    with pytest.raises(Invalid) as caught:
        cql2.from_json(document.encode() if isinstance(document, str) else document)
    assert caught.value.code == "filter_invalid"
    (place,) = caught.value.places
    assert place.hint
    return place.parameter, place.message


@pytest.mark.parametrize(("text", "document"), [each[1:] for each in EXAMPLES], ids=[each[0] for each in EXAMPLES])
def test_each_example_of_the_standard_is_one_tree_in_text_and_in_json(text, document):
    tree = cql2.parse(text)
    assert cql2.from_json(document.encode()) == tree
    assert cql2.parse(cql2.to_text(tree)) == tree
    assert cql2.from_json(cql2.to_json(tree)) == tree


def test_numbers_in_json_keep_every_digit():
    document = b'{"op":">","args":[{"property":"a"},12345678901234567890.12345]}'
    assert cql2.to_text(cql2.from_json(document)) == "a > 12345678901234567890.12345"
    assert cql2.to_json(cql2.from_json(document)) == document


A = '{"property":"a"}'


@pytest.mark.parametrize(
    ("document", "place", "names"),
    [
        ("", "filter", "not JSON"),
        ("{", "filter", "not JSON"),
        ("[]", "filter", "not a condition"),
        ("null", "filter", "not a condition"),
        ('{"op":"=","args":[{"property":"a"},NaN]}', "filter", "not JSON"),
        ('{"op":"=","args":[{"property":"a"},-Infinity]}', "filter", "not JSON"),
        ('{"op":"=","op":"<>","args":[]}', "filter", "not JSON"),
        ('{"op":"=","args":[{"property":"a"},1],"more":1}', "filter", "not a condition"),
        (f'{{"op":"=","args":[{A}]}}', "filter", "other arguments"),
        (f'{{"op":"=","args":{A}}}', "filter", "other arguments"),
        (f'{{"op":"and","args":[{{"op":"isNull","args":[{A}]}}]}}', "filter", "other arguments"),
        (f'{{"op":"=","args":[{A},1e1000]}}', "filter/args/1", "power of ten"),
        (f'{{"op":"=","args":[{A},{"9" * 5000}]}}', "filter/args/1", "72 significant"),
        (f'{{"op":"=","args":[{A},null]}}', "filter/args/1", "NULL equals nothing"),
        (f'{{"op":"=","args":[{A},{{"date":"2023-02-29"}}]}}', "filter/args/1", "needed here"),
        (f'{{"op":"=","args":[{A},"\\u0000"]}}', "filter/args/1", "NUL"),
        (f'{{"op":"=","args":[{A},"\\ud800"]}}', "filter/args/1", "surrogate"),
        ('{"op":"=","args":[{"property":""},1]}', "filter/args/0", "needed here"),
        ('{"op":"=","args":[{"property":"a\\u0000b"},1]}', "filter/args/0", "needed here"),
        ('{"op":"=","args":[1,2]}', "filter/args/1", "another literal"),
        (f'{{"op":"in","args":[{A},[]]}}', "filter/args/1", "other arguments"),
        (f'{{"op":"in","args":[{A},[1,"x"]]}}', "filter", "one kind"),
        (f'{{"op":"in","args":[{A},[1,{A}]]}}', "filter/args/1/1", "another column"),
        (f'{{"op":"in","args":[{A},[{",".join(["1"] * 10001)}]]}}', "filter/args/1", "10,000"),
        (f'{{"op":"like","args":[{A},5]}}', "filter/args/1", "pattern"),
        (f'{{"op":"like","args":[{A},"x\\\\d"]}}', "filter/args/1", "pattern"),
        (f'{{"op":"=","args":[{{"op":"casei","args":[{A}]}},"x"]}}', "filter/args/1", "both sides"),
        (f'{{"op":"like","args":[{{"op":"casei","args":[{A}]}},"x"]}}', "filter/args/1", "both sides"),
        (f'{{"op":"=","args":[{{"op":"casei","args":[{{"op":"casei","args":[{A}]}}]}},"x"]}}', "filter/args/0/args/0", "once"),
        (f'{{"op":"=","args":[{A},{{"op":"+","args":[{A},1]}}]}}', "filter/args/1", "Arithmetic"),
        (f'{{"op":"=","args":[{A},{{"op":"avg","args":[{A}]}}]}}', "filter/args/1", "Functions"),
        (f'{{"op":"s_intersects","args":[{A},{{"type":"Point","coordinates":[1,1]}}]}}', "filter", "Spatial"),
        (f'{{"op":"t_before","args":[{A},{{"date":"2015-01-01"}}]}}', "filter", "Temporal"),
        (f'{{"op":"a_contains","args":[{A},["x"]]}}', "filter", "Array"),
        ("[" * 100_000, "filter", "64 levels"),
        ('{"op":"not","args":[' * 65 + "true" + "]}" * 65, "filter" + "/args/0" * 65, "64 levels"),
        (b'"\xff"', "filter", "not JSON"),
        ('"' + "x" * 300_000 + '"', "filter", "bytes"),
    ],
)
def test_what_json_cannot_say_is_refused_by_name_with_its_pointer(document, place, names):
    assert refused(document)[0] == place
    assert names in refused(document)[1]


def test_json_is_read_in_time_that_grows_with_its_size():
    items = [f"value {n}" for n in range(10_000)]
    document = json.dumps({"op": "in", "args": [{"property": "a"}, items]}).encode()
    tree = cql2.from_json(document)
    assert isinstance(tree, cql2.In)
    assert len(tree.values) == len(items)
