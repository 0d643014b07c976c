"""Where a JSON document is not of its shape: the member, what is wrong with it, and the nearest known one. No value is told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from baybridge.errors import Place
from baybridge.names import nearest

_UNKNOWN: Final = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING: Final = re.compile(r"Object missing required field `(.*)`")
_LONGEST: Final = 100


def misfit(wrong: Exception, shape: type[Any]) -> Place:
    """The place that msgspec's words name; `$` is the document, and `$.terms.columns` a member of a member."""
    said, _, path = str(wrong).rpartition(" - at ") if " - at " in str(wrong) else (str(wrong), "", "")
    where = path.strip("`") or "$"
    if not isinstance(wrong, msgspec.ValidationError):
        return Place("body", "not JSON")
    if unknown := _UNKNOWN.fullmatch(said):
        name = unknown[1][:_LONGEST]
        return Place(f"{where}.{name}", "not a known member", hint=nearest(name, _members(msgspec.inspect.type_info(shape))))
    if missing := _MISSING.fullmatch(said):
        return Place(f"{where}.{missing[1]}", "missing")
    told = said.replace("`", "") if said.startswith("Expected ") else "not of the documented type"
    return Place("body" if where == "$" else where, told)


def _members(found: msgspec.inspect.Type) -> Iterator[str]:
    """The names of all members, those of members included."""
    match found:
        case msgspec.inspect.StructType(fields=fields):
            for each in fields:
                yield each.encode_name
                yield from _members(each.type)
        case msgspec.inspect.UnionType(types=types):
            for each_type in types:
                yield from _members(each_type)
        case msgspec.inspect.ListType(item_type=inner) | msgspec.inspect.DictType(value_type=inner):
            yield from _members(inner)
        case _:
            return
