"""`python -m receiver [COMMAND]`: the same as `renderhook COMMAND`, with `serve` as the default."""

import sys

from renderhook.cli import main

if __name__ == "__main__":
    main(sys.argv[1:] or ["serve"], prog_name="python -m receiver")
