"""Every image file below a folder, once, and what lies there that is none."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from unskip.errors import UnskipError
from unskip.images import image_endings, is_image, shown

_LEFT_BY_SYSTEMS = {"__macosx", "@eadir", "$recycle.bin", "system volume information", "thumbs.db", "desktop.ini"}


@dataclass
class Scan:
    """What was found below ``root`` so far: every file once, wherever links lead.

    ``passed_over``: paths relative to ``root`` of what is no image: other files, pipes, broken links, links that lead
    back. Hidden files, and what operating systems leave behind, are left out without a word.
    """

    root: Path
    passed_over: list[str] = field(default_factory=list)
    _owners: dict[str, Path] = field(default_factory=dict)

    def images(self, folder: Path) -> list[str]:
        """Paths relative to ``folder`` of the images in it, at any depth, sorted.

        `UnskipError` where a link leads to images that a folder scanned before holds, and for what the system refuses.
        """
        images: list[str] = []
        for path, real in self._files(folder):
            if not _is_image_file(path):
                self.passed_over.append(self._name(path))
                continue
            owner = self._owners.setdefault(real, folder)
            if owner != folder:
                raise UnskipError(
                    f"{shown(path)} is an image that {shown(owner)} holds too, by a link; an image has one class and "
                    f"one split: remove the link"
                )
            images.append(os.path.relpath(path, folder))
        return sorted(images)

    def holds_images(self, folder: Path) -> bool:
        """Whether there is an image in a folder, at any depth. Stops at the first one."""
        return any(_is_image_file(path) for path, _ in self._files(folder))

    def warn_of_others(self) -> None:
        """Count what was passed over, where there is any."""
        if self.passed_over:
            names = sorted(set(self.passed_over))
            warnings.warn(f"{self.root}: {len(names)} file(s) passed over, being no images: {few(names)}", stacklevel=5)

    def _files(self, folder: Path) -> Iterator[tuple[str, str]]:
        """Path and real path of the files below a folder, each once; real folders first, then links, by name."""
        visited: set[str] = set()
        linked_files: set[str] = set()
        folders, links = [str(folder)], list[str]()
        while folders or links:
            if not folders:
                link = links.pop()
                if os.path.isdir(link):
                    if _leads_back(link, self.root, folder):
                        self.passed_over.append(f"{self._name(link)} (leads back)")
                    else:
                        folders.append(link)
                elif (real := os.path.realpath(link)) not in linked_files and not _walked(real, visited):
                    linked_files.add(real)
                    yield link, real
                continue
            inner = folders.pop()
            real = os.path.realpath(inner)
            if real in visited:
                continue
            visited.add(real)
            for entry in _entries(inner):
                if entry.is_symlink():
                    links.append(entry.path)
                elif entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif (place := os.path.join(real, entry.name)) not in linked_files:
                    yield entry.path, place
            folders.sort(reverse=True)
            links.sort(reverse=True)

    def _name(self, path: str | Path) -> str:
        return shown(os.path.relpath(path, self.root))


def subfolders(folder: Path, root: Path) -> list[Path]:
    """The folders directly in a folder, links to others included, by name; none that is hidden or leads back."""
    return [
        Path(entry.path)
        for entry in _entries(str(folder))
        if os.path.isdir(entry.path) and not (entry.is_symlink() and _leads_back(entry.path, root, folder))
    ]


def loose_images(folder: Path) -> list[Path]:
    """The image files directly in a folder, by name."""
    return [Path(entry.path) for entry in _entries(str(folder)) if _is_image_file(entry.path)]


def few(names: Sequence[str], count: int = 3) -> str:
    """The first names, and dots where there are more."""
    return ", ".join(names[:count]) + (", ..." if len(names) > count else "")


def _entries(folder: str) -> list[os.DirEntry[str]]:
    """What is not hidden in a folder, by name."""
    try:
        with os.scandir(folder) as found:
            entries = [entry for entry in found if not _is_hidden(entry.name)]
    except OSError as error:
        raise UnskipError(
            f"cannot read the folder {shown(folder)}: {error.strerror}; change that, or remove it"
        ) from error
    return sorted(entries, key=lambda entry: entry.name)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in _LEFT_BY_SYSTEMS


def _walked(real: str, visited: set[str]) -> bool:
    """Whether a file was found at its own place."""
    return os.path.dirname(real) in visited and os.path.exists(real) and not _is_hidden(os.path.basename(real))


def _is_image_file(path: str) -> bool:
    """Whether a file is an image by its ending, or by how it begins where the ending says nothing. Opens no pipes."""
    if not os.path.isfile(path):
        return False
    ending = os.path.splitext(path)[1].lower()
    return ending in image_endings() or is_image(Path(path))


def _leads_back(link: str, *folders: Path) -> bool:
    """Whether a link leads to one of these folders or the one that it lies in, or to a folder above them."""
    real = os.path.join(os.path.realpath(link), "")
    below = (os.path.join(os.path.realpath(folder), "") for folder in (*folders, Path(link).parent))
    return any(place.startswith(real) for place in below)
