"""`python -m submitter`: submit, look and wait, through a running receiver."""

from submitter.command_line import main

if __name__ == "__main__":
    main()
