"""`python -m submitter`: the commands that call a running receiver."""

from renderhook.job_commands import main

if __name__ == "__main__":
    main()
