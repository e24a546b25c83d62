"""`python -m submitter`: submit, look and wait, through a running receiver."""

from renderhook.job_commands import main

if __name__ == "__main__":
    main()
