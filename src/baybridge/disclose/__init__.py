"""VERB: disclose. All that a face needs of the door: faces import nothing from behind it."""

from baybridge.data.engines.duckdb import SortKey, Stop
from baybridge.disclose.door import Disclose
from baybridge.disclose.reads import Answer, Encodable, Examination, Read, Request, StreamRequest
from baybridge.disclose.stream import Ending, Lines, Stream
from baybridge.policy.decision import Ask, UsedColumn

__all__ = [
    "Answer",
    "Ask",
    "Disclose",
    "Encodable",
    "Ending",
    "Examination",
    "Lines",
    "Read",
    "Request",
    "SortKey",
    "Stop",
    "Stream",
    "StreamRequest",
    "UsedColumn",
]
