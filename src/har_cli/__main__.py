"""`python -m har_cli`: the `har` command."""

from har_cli import main

main()
