"""The command line `triton`. Every command imports what it needs when it runs, so `--help` is quick."""

import gc


def main() -> None:
    """The entry point of the command `triton`; ends the process with one of `triton.cli.exits`."""
    # What imports make stays: looking through it for garbage again and again took a fifth of a role's start.
    gc.set_threshold(50_000)
    from triton.cli.app import app

    app(prog_name="triton")
