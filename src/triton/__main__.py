"""`python -m triton`: the same as the command `triton`."""

from triton.cli import main

if __name__ == "__main__":
    main()
