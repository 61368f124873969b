"""`python -m ci COMMAND`: what every Nox session runs."""

from ci.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
