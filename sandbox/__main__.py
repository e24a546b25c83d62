"""`python -m sandbox`: simulated providers on loopback."""

from sandbox.command import main

if __name__ == "__main__":
    main(prog_name="python -m sandbox")
