"""`python -m sandbox.demo`: the demo."""

from sandbox.demo.run import main

if __name__ == "__main__":
    main(prog_name="python -m sandbox.demo")
