"""`python -m receiver`: the server's commands of `renderhook`; without one, serve."""

from renderhook.server_commands import main

if __name__ == "__main__":
    main()
