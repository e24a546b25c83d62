"""The pages of the documentation, and the code blocks in them."""

import re
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parents[2]
README = "README.md"
QUICKSTART = "docs/quickstart.md"
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])

_FENCE = re.compile(r"^( *)```(.*?)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


class Block(msgspec.Struct, frozen=True):
    """A fenced block. `label` is what follows the language, such as `runnable` or `terminal=receiver`."""

    language: str
    label: str
    text: str


def page(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def blocks(name: str) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    found = []
    for _, info, text in _FENCE.findall(page(name)):
        language, _, label = info.partition(" ")
        found.append(Block(language, label, text))
    return found


def prose(name: str) -> str:
    """Return a page without its fenced blocks."""
    return _FENCE.sub("", page(name))


def is_run(block: Block) -> bool:
    return block.label == "runnable" or block.label.startswith("terminal=")


RUN_PAGES = [name for name in PAGES if any(is_run(block) for block in blocks(name))]
"""The pages with blocks that are run."""
