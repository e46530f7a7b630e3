"""``python -m unskip``."""

from unskip.cli import main

main()
