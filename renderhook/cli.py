"""`renderhook WORD …`: the same as `python -m receiver|submitter|sandbox …`, whichever knows the word."""

import runpy
import sys

_RECEIVER = frozenset({"serve", "migrate", "copy"})


def main() -> None:
    """Run the module that knows the first word; without one, serve."""
    word = sys.argv[1] if len(sys.argv) > 1 else "serve"
    if word == "sandbox":
        del sys.argv[1]
        module = "sandbox"
    else:
        module = "receiver" if word in _RECEIVER else "submitter"
    sys.argv[0] = "renderhook"
    # By name, not by import: no arrow of the architecture points from here.
    runpy.run_module(module, run_name="__main__", alter_sys=False)
