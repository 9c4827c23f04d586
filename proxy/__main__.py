"""`farebox`, and `python -m proxy`."""

from proxy.cli.commands import app


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
