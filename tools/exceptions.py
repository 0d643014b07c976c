"""Prints src/baybridge/client/exceptions.py from the table of codes, so that type checkers and editors know each class by name."""

from __future__ import annotations

from typing import Final

from baybridge.client.answers import BY_STATUS
from baybridge.errors import CODES, BaybridgeError, Corrupt

OURS: Final = {"internal", "answer_not_understood"}  # a failure of the code, not of what is stored
MORE: Final = dict.fromkeys(("rows_rejected", "warnings_found"), "    report: PublishReport | None = None")
HEAD: Final = '''\
"""One exception class for each code, under the class of whose move is next. Printed by `make docs` from `errors.CODES`.

`advice` says the rule, who can change it and the next step; `advice.next_command` and `advice.next_url` are there to be followed.
A code of a server that is newer than this client is raised as the class of its status, and keeps its name in `code`.
"""

from __future__ import annotations

from typing import Final

from baybridge.errors import BaybridgeError, Conflict, Corrupt, Invalid, NotFound, Refused, Unavailable
from baybridge.wire.collections import PublishReport
'''


def main() -> None:
    """Print the module."""
    print(HEAD)  # noqa: T201 -- its output is the file
    for code, facts in CODES.items():
        base = BaybridgeError if code in OURS else BY_STATUS.get(facts.status, Corrupt)
        if name_of(code) != base.__name__:
            print(f'\nclass {name_of(code)}({base.__name__}):\n    """{facts.meaning}"""\n')  # noqa: T201 -- as above
            if code in MORE:
                print(f"{MORE[code]}\n")  # noqa: T201 -- as above
    lines = [f'    "{code}": {name_of(code)},' for code in CODES]
    print("\n".join(["\nOF_CODE: Final[dict[str, type[BaybridgeError]]] = {", *lines, "}"]))  # noqa: T201 -- as above


def name_of(code: str) -> str:
    """Give the class name of a code: its words with capitals."""
    return "".join(word.capitalize() for word in code.split("_"))


if __name__ == "__main__":
    main()
