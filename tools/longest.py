"""Prints the ten longest functions of the package, so that growth is seen while it is small; it judges nothing."""

import ast
import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "src"


def main() -> None:
    """Print length, place and name, the longest first; a test holds the limit of 100 lines."""
    lengths = [
        (node.end_lineno - node.lineno + 1, f"{path.relative_to(SOURCE)}:{node.lineno} {node.name}")
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno
    ]
    sys.stdout.write("The ten longest functions, in lines:\n")
    sys.stdout.writelines(f"  {lines:4} {place}\n" for lines, place in sorted(lengths, reverse=True)[:10])


if __name__ == "__main__":
    main()
