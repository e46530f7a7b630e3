"""The documentation as a site: every page stands in the navigation, every link and anchor leads somewhere."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("mkdocs")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert not ended.stderr
    return folder


def test_every_page_is_built(site):
    pages = {page.relative_to(ROOT / "docs").with_suffix(".html") for page in (ROOT / "docs").rglob("*.md")}
    built = {page.relative_to(site) for page in site.rglob("*.html")}
    assert built - pages == {Path("404.html")}
    assert not pages - built


def test_nothing_is_loaded_from_elsewhere(site):
    """But for addresses that a reader may follow."""
    text = (site / "index.html").read_text()
    assert 'src="http' not in text
    assert 'rel="stylesheet" href="http' not in text


def test_what_makes_the_pages_is_no_page(site):
    assert not [file for file in site.rglob("*") if file.suffix in (".py", ".j2")]
