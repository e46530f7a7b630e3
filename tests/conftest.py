"""What all tests share."""

import gc
import os
import socket
import sys

import pytest
from hypothesis import settings

# Many tests start other interpreters: without kept bytecode each of them compiles the package anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A property says nothing about time, and on a busy machine any example may take long.
settings.register_profile("unskip", deadline=None)
settings.load_profile("unskip")


def pytest_collection_finish():
    """What libraries hold stays to the end: not to look through it for garbage saves a twentieth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


@pytest.fixture(autouse=True)
def offline(hosts_asked_for):
    """Nothing reaches for the network behind the user's back: neither this package nor a library that it calls."""
    yield
    hosts = hosts_asked_for.read_text().split()
    hosts_asked_for.write_text("")
    assert not hosts, f"asked for the addresses of {hosts}"


@pytest.fixture(scope="session")
def hosts_asked_for(tmp_path_factory):
    """The file with the hosts whose addresses this process and its forks asked for, other than this machine's own."""
    file = tmp_path_factory.mktemp("network") / "asked"
    file.write_text("")
    own = {None, "", "0.0.0.0", "::", "localhost", "127.0.0.1", "::1", socket.gethostname()}

    def hook(event, arguments):
        if event == "socket.getaddrinfo" and arguments[0] not in own:
            with file.open("a") as lines:
                lines.write(f"{arguments[0]}\n")
            raise OSError(f"tests run without a network, and {arguments[0]} was asked for")

    sys.addaudithook(hook)
    return file
