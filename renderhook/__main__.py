"""`python -m renderhook`: the program `renderhook` without an installation."""

from renderhook.cli import main

if __name__ == "__main__":
    main(prog_name="renderhook")
