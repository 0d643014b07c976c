"""What a server's answer means: a shape of `wire`, or the error that its problem details describe. It sends nothing."""

from __future__ import annotations

from typing import Final, TypeVar

import httpx2
import msgspec

from baybridge.client.exceptions import OF_CODE, AnswerNotUnderstood, RowsRejected, Unreachable, WarningsFound
from baybridge.errors import CODES, Advice, BaybridgeError, CodeFacts, Conflict, Invalid, NotFound, Place, Refused, Unavailable
from baybridge.wire.problems import ProblemShape

_PROBLEM: Final = "application/problem+json"
_FIRST_ERROR: Final = 300  # a redirect is one too: following it would carry the token elsewhere
_GATEWAY: Final = frozenset({502, 503, 504})
BY_STATUS: Final[dict[int, type[BaybridgeError]]] = {
    400: Invalid,
    401: Refused,
    403: Refused,
    404: NotFound,
    405: Invalid,
    406: Invalid,
    409: Conflict,
    410: NotFound,
    412: Conflict,
    413: Invalid,
    415: Invalid,
    422: Conflict,
    428: Conflict,
    429: Unavailable,
    503: Unavailable,
}
_STAND_INS: Final[dict[type[BaybridgeError], str]] = {
    Invalid: "invalid_request",
    NotFound: "not_found",
    Conflict: "conflict",
    Unavailable: "extract_building",
    Refused: "no_agreement",
}
_NOT_SIGNED_IN: Final = 401

T = TypeVar("T")


def read(response: httpx2.Response, shape: type[T]) -> T:
    """Give the answer as that shape. Raise its error where it is one, and `answer_not_understood` for any other body."""
    require_success(response)
    try:
        return msgspec.json.decode(response.content, type=shape)
    except (msgspec.ValidationError, msgspec.DecodeError) as wrong:
        raise not_understood(str(response.request.url.path)) from wrong


def read_text(response: httpx2.Response) -> str:
    """Give the answer as text. Raise its error where it is one."""
    require_success(response)
    return response.text


def require_success(response: httpx2.Response) -> None:
    """Raise the error that the answer is, if it is one."""
    if response.status_code >= _FIRST_ERROR:
        raise error_of(response)


def error_of(response: httpx2.Response) -> BaybridgeError:
    """Give the error of an answer, by its status, with the server's own code, advice and places.

    A code that this client does not know, from a newer server, keeps its name, and gets class and exit code by the status.
    """
    problem = _problem(response)
    if problem is None:
        return _foreign(response)
    advice = Advice(problem.rule, problem.who_can_change, problem.next_step, problem.next_command, problem.next_url)
    places = tuple(Place(each.parameter, each.message, each.column, each.hint) for each in problem.errors)
    kind = OF_CODE.get(problem.code) or BY_STATUS.get(response.status_code, BaybridgeError)
    if problem.code in CODES:
        known = kind(problem.code, problem.detail, advice=advice, places=places, retry_after=problem.retry)
        if isinstance(known, RowsRejected | WarningsFound):
            known.report = problem.report
        return known
    stand_in = "not_signed_in" if response.status_code == _NOT_SIGNED_IN else _STAND_INS.get(kind, "internal")
    error = kind(stand_in, problem.detail, advice=advice, places=places, retry_after=problem.retry)
    error.code = problem.code
    error.facts = CodeFacts(response.status_code, CODES[stand_in].exit_code, problem.title)
    return error


def not_understood(path: str) -> BaybridgeError:
    """The error of an answer whose body is not of the documented shape."""
    return AnswerNotUnderstood(
        "answer_not_understood",
        f"The answer of {path} is not of a shape that this client knows.",
        advice=Advice(
            rule="Client and server share their JSON shapes; what is not understood is never skipped.",
            who_can_change="you",
            next_step="Check that the address is a Baybridge server, then install the client of the server's version.",
        ),
    )


def _problem(response: httpx2.Response) -> ProblemShape | None:
    if response.headers.get("content-type", "").partition(";")[0].strip() != _PROBLEM:
        return None
    try:
        return msgspec.json.decode(response.content, type=ProblemShape)
    except (msgspec.ValidationError, msgspec.DecodeError):
        return None


def _foreign(response: httpx2.Response) -> BaybridgeError:
    """The error of an answer that no Baybridge server has written: a proxy's, or another server's."""
    detail = f"The address answered {response.status_code}, and not as a Baybridge server does."
    advice = Advice(
        rule="Every error of a Baybridge server is problem details with a code.",
        who_can_change="you, or whoever keeps the proxy before the server",
        next_step="Check the address of the server, and what stands between.",
    )
    if response.status_code in _GATEWAY:
        return Unreachable("unreachable", detail, advice=advice, retry_after=_seconds(response))
    return AnswerNotUnderstood("answer_not_understood", detail, advice=advice)


def _seconds(response: httpx2.Response) -> int | None:
    """What Retry-After says in seconds; a proxy's date is no reason to trust its clock."""
    said = response.headers.get("retry-after", "")
    return int(said) if said.isascii() and said.isdigit() else None
