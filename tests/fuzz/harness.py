"""What every fuzz does: carry a command out in this process, and hold it to how commands end.

A command ends with 0, with 2 and one sentence on standard error, or, where it compares figures, with 1. It never prints
a traceback, never hangs, and never runs what a file names: the canary is a file that such code would write.
"""

import contextlib
import functools
import io
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from unskip import UnskipError
from unskip.cli import main

SEED = int(os.environ.get("UNSKIP_FUZZ_SEED", "0"))
SECONDS = 120  # of one case, which takes a second or so: a guard against hanging, no measure
CANARY_MODULE = "fuzz_canary"


class Hung(BaseException):
    """A case that does not end."""


@dataclass
class World:
    """A folder that commands run in; ``canary`` is what no input may bring into being."""

    folder: Path

    @property
    def canary(self) -> Path:
        return self.folder / "canary"

    def prepare(self) -> None:
        """Put a module there that writes the canary when it is imported, and when it is called."""
        sing = f"open({str(self.canary)!r}, 'w').close()\n"
        (self.folder / f"{CANARY_MODULE}.py").write_text(f"{sing}def net(**options):\n    {sing}")

    def unskip(self, *arguments: object, codes: tuple[int, ...] = (0, 2)) -> str:
        """Carry out a command, assert that it ended as commands do, with one of ``codes``; what it said."""
        out, err, code = io.StringIO(), io.StringIO(), 0
        words = [str(argument) for argument in arguments]
        with (
            pytest.MonkeyPatch.context() as patch,
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            self._guarded(),
        ):
            patch.setattr(sys, "argv", ["unskip", *words])
            patch.chdir(self.folder)
            try:
                main()
            except SystemExit as stop:
                code = stop.code or 0
        shown = words, code, out.getvalue()[-2000:], err.getvalue()[-2000:]
        assert code in codes, shown
        self._check(out.getvalue(), err.getvalue(), code, shown)
        return out.getvalue() + err.getvalue()

    def refused(self, *arguments: object) -> str:
        """Carry out a command that must end with 2."""
        return self.unskip(*arguments, codes=(2,))

    @contextlib.contextmanager
    def sentence(self) -> Iterator[None]:
        """Code that may raise `UnskipError` and nothing else."""
        with self._guarded(), contextlib.suppress(UnskipError), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
        assert not self.canary.exists()

    def _check(self, out: str, err: str, code: int, shown: object) -> None:
        assert "Traceback" not in out + err, shown
        lines = [line for line in err.splitlines() if not line.startswith("unskip: warning: ")]
        assert len(lines) == (code == 2), shown
        assert all(line.startswith("unskip: ") for line in lines), shown
        assert not self.canary.exists(), shown

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        hung = []

        def ring(*_: object) -> None:
            hung.append(True)
            raise Hung

        before = signal.signal(signal.SIGALRM, ring)
        signal.alarm(SECONDS)
        try:
            yield
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)
            assert not hung, f"no end within {SECONDS} seconds"


def fuzz(quick: int, many: int, **strategies: object) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A test of a few drawn cases, and a slow one of many; the same ones every time, or those of UNSKIP_FUZZ_SEED.

    The test is given the `World`, and what ``strategies`` draw by their names.
    """

    def decorate(check: Callable[..., None]) -> Callable[..., None]:
        @pytest.mark.parametrize("cases", [quick, pytest.param(many, marks=pytest.mark.slow)])
        def test(world: World, cases: int) -> None:
            @seed(SEED)
            @settings(
                max_examples=cases,
                deadline=None,
                database=None,
                phases=[Phase.explicit, Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(**strategies)
            def one(**drawn: object) -> None:
                world.canary.unlink(missing_ok=True)
                check(world, **drawn)

            one()

        functools.update_wrapper(test, check)
        del test.__wrapped__  # or pytest would ask for the drawn values as fixtures
        return test

    return decorate
