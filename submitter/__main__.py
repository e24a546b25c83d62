"""`python -m submitter COMMAND`: the same as `renderhook COMMAND`."""

from renderhook.cli import main

if __name__ == "__main__":
    main(prog_name="python -m submitter")
