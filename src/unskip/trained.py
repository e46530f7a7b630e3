"""Trained networks on disk: evaluate and export them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unskip.data import Data, Normalization, load_data
from unskip.data_info import DataInfo
from unskip.errors import UnskipError
from unskip.export import Exported, export_net
from unskip.measure import Accuracy, evaluate, evaluate_file
from unskip.recipe import DataRecipe, load_recipe, recipe_from
from unskip.request import data_settings
from unskip.run_folder import RunFolder, net_file
from unskip.runtimes import RUNTIMES, read_metadata
from unskip.weights import load_net

__all__ = ["data_for", "evaluate_target", "export_target"]

_OF_ONE_SOURCE = {"limit", "fraction", "test_limit", "image_column", "label_column"}  # says nothing about other images


def evaluate_target(target: Path, data: str | None, settings: Sequence[str]) -> Accuracy:
    """Accuracy of a run's best student, a network's file or an exported file.

    The test images are those of its run, or of ``data``; ``settings`` change fields of the recipe's data section.
    """
    file = net_file(target)
    if any(file.suffix == runtime.endings[0] for runtime in RUNTIMES.values()):
        info = DataInfo.from_json(read_metadata(file), file)
        images = data_for(file, info, data, settings)
        return evaluate_file(file, images.test_batches(256).epoch(0))
    net, info = load_net(file)
    return evaluate(net, data_for(file, info, data, settings).test_batches(256).epoch(0))


def export_target(
    target: Path, path: Path, data: str | None, settings: Sequence[str], *, tolerance: float, images: int
) -> Exported:
    """Export a run's best student or a network's file, checked on test images of its run or of ``data``."""
    file = net_file(target)
    net, info = load_net(file)
    shown = data_for(file, info, data, settings).test_images(images)
    return export_net(net, path, shown, metadata=info.to_json(), tolerance=tolerance)


def data_for(file: Path, info: DataInfo, argument: str | None, settings: Sequence[str]) -> Data:
    """Test images as the network expects them: its size, its normalisation, its classes."""
    base = _run_data(file)
    if argument is None and base is None:
        raise UnskipError(f"{file} lies in no run folder; say with --data on which images")
    for setting in settings:
        if not setting.startswith("data."):
            raise UnskipError(f"--set {setting!r}: only the data can change here, such as data.test_limit=1000")
    tree = base.model_dump(mode="json", exclude=_OF_ONE_SOURCE if argument else None) if base else {}
    tree |= data_settings(argument) if argument else {}
    tree["image_size"] = info.image_shape[1]
    data = load_data(
        recipe_from({"data": tree}, settings).data, device="cpu", normalization=Normalization(info.mean, info.std)
    )
    if data.image_shape != info.image_shape:
        raise UnskipError(f"the network reads images of {info.image_shape}, the data gives {data.image_shape}")
    if data.classes != info.classes:
        raise UnskipError(
            f"the network knows {len(info.classes)} classes ({', '.join(info.classes[:4])}, ..), "
            f"the data has {len(data.classes)} ({', '.join(data.classes[:4])}, ..)"
        )
    return data


def _run_data(file: Path) -> DataRecipe | None:
    recipe = RunFolder(file.resolve().parent.parent).recipe
    return load_recipe(recipe).data if recipe.is_file() else None
