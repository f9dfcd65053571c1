"""What README says of the files: each imports only from the lines below its own."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "rtpose"


def layers() -> dict[str, int]:
    """The line of README's table that each file or folder stands in, counted from below."""
    text = (ROOT / "README.md").read_text()
    table = text.split("imports only from the lines below its own:")[1].split("\nFiles go")[0]
    lines = [line for line in table.splitlines() if line.startswith("    ")]
    names = [re.split(r"\s{3,}", line.strip())[0].split() for line in lines]
    found = {}
    for height, words in enumerate(reversed(names)):
        for word in words:
            if (PACKAGE / word.rstrip("/")).is_dir() or (PACKAGE / f"{word}.py").is_file():
                found[word.rstrip("/")] = height
    return found


def imported(path: Path) -> set[str]:
    modules = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("rtpose"):
            part = node.module.split(".")[1:2]
            modules |= set(part) if part else {alias.name for alias in node.names}
    return modules


LAYERS = layers()
FILES = sorted(PACKAGE.rglob("*.py"))


def test_every_file_stands_in_the_table():
    tops = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in FILES}
    assert tops - {"__init__", "__main__"} == set(LAYERS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_downwards(path: Path):
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if own in LAYERS:
        beside = {name for name in imported(path) if LAYERS.get(name, -1) >= LAYERS[own]}
        assert beside - {own} == set()
