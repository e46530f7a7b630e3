"""``unskip nets``: the networks that have names."""

from __future__ import annotations

from unskip.cli._console import print_pairs


def nets() -> None:
    """List the networks by name; `unskip inspect NET` says more, `unskip run --teacher NET` trains one."""
    from unskip.nets import FAMILIES, NETS, PACKAGES

    print_pairs([*((name, entry.summary) for name, entry in NETS.items()), *FAMILIES.items(), *PACKAGES.items()])
