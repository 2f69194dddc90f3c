"""The command line `triton`. Every command imports what it needs when it runs, so `--help` is quick."""


def main() -> None:
    """The entry point of the command `triton`; ends the process with one of `triton.cli.exits`."""
    from triton.cli.app import app

    app(prog_name="triton")
