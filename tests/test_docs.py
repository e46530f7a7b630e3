"""The documentation is true: its Python runs, its commands parse, its figures, links and generated pages agree."""

import json
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from typer.testing import CliRunner

import unskip
from unskip import records
from unskip.cli import app
from unskip.cli.run import asked_recipe
from unskip.compare.targets import find_targets
from unskip.export import estimate_untrained
from unskip.listing import named_recipes
from unskip.nets import find_net
from unskip.preprocessing import Preprocessing
from unskip.recipe import DataRecipe
from unskip.runtimes import configured

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
NETWORKS = runpy.run_path(str(ROOT / "docs" / "networks.py"))
GENERATED = runpy.run_path(str(ROOT / "docs" / "generate.py"))["PAGES"]
DEVICES_PAGE = runpy.run_path(str(ROOT / "docs" / "devices_page.py"))  # finds its neighbours since the line above
MIB = 2**20
HOW_TO, TUTORIALS = ROOT / "docs" / "how-to", ROOT / "docs" / "tutorials"


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text()
    return [
        Block(page, text.count("\n", 0, match.start()) + 2, match[1], match[2])
        for match in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    ]


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def shell_lines() -> list[str]:
    """Commands of ``bash`` blocks, of ``console`` blocks after a dollar sign, and of indented lines in help texts."""
    lines = []
    for block in BLOCKS:
        text = block.text.replace("\\\n", " ")
        if block.language == "bash":
            lines += text.splitlines()
        elif block.language == "console":
            lines += [line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ ")]
    for page in PAGES:
        lines += re.findall(r"^    (unskip .*)$", page.read_text(), re.MULTILINE)
        lines += re.findall(r"`((?:unskip|make|python) [^`]+)`", page.read_text())
    return sorted({" ".join(line.split("#")[0].split()) for line in lines} - {""})


LINES = shell_lines()
COMMANDS = [line for line in LINES if line.startswith("unskip ")]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """What the documentation's commands name: folders of images, a recipe, a module with a network."""
    folder = tmp_path_factory.mktemp("docs")
    for images, label in product(("MY_IMAGES", "MY_PHOTOS", "CIFAR", "IMAGEWOOF", "TINY_IMAGENET"), ("cat", "dog")):
        (folder / images / label).mkdir(parents=True)
        for index in range(3):
            Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / images / label / f"{index}.png")
    recipe = (ROOT / "recipes" / "demo.yaml").read_text()
    for place in ("recipe.yaml", "mine.yaml", "runs/demo/recipe.yaml"):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text(recipe)
    (folder / "my_package").mkdir()
    (folder / "my_package" / "models.py").write_text(
        "from torchvision.models.resnet import BasicBlock, ResNet\n\n\n"
        "def build_net(num_classes=10):\n    return ResNet(BasicBlock, [1, 1, 1, 1], num_classes)\n"
    )
    (folder / "akamaster.py").write_text(  # the module of the page that measures its trained networks
        "from unskip import make_net\n\n\n"
        "def resnet20():\n    return make_net('resnet20')\n\n\ndef resnet56():\n    return make_net('resnet56')\n"
    )
    torch.save(unskip.make_net("resnet14").state_dict(), folder / "mine.pth")
    wrapped = {f"model.{name}": weight for name, weight in unskip.make_net("resnet14").state_dict().items()}
    torch.save({"state_dict": wrapped, "pytorch-lightning_version": "2.6.6"}, folder / "dogs.ckpt")
    relations = next(block.text for block in blocks_of(TUTORIALS / "own-method.md") if block.language == "python")
    (folder / "relations.py").write_text(relations)
    return folder


def pages_with(language: str) -> list[Path]:
    return sorted({block.page for block in BLOCKS if block.language == language})


RUN_A_FILE = HOW_TO / "run-a-file.md"  # its Python needs what the commands of these pages write
DEPLOYING = [HOW_TO / f"{page}.md" for page in ("export", "eight-bits", "several-depths", "ethos-u", "cortex-m")]


TRAINING = {TUTORIALS / "own-loop.md"}


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=page.name, marks=[pytest.mark.slow] if page in TRAINING else [])
        for page in pages_with("python")
        if page != RUN_A_FILE
    ],
)
def test_the_python_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "documentation"}
    for block in blocks_of(page):
        if block.language == "python":
            padded = "\n" * (block.line - 1) + block.text  # tracebacks name the page's own line
            exec(compile(padded, str(page), "exec"), names)


def prepare_block(language: str) -> str:
    return next(
        block.text for block in blocks_of(RUN_A_FILE) if block.language == language and "prepare." in block.text
    )


SIDES = [(300, 200), (201, 333), (64, 96), (90, 64), (7, 9), (1, 1), (24, 24), (13, 80)]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Class folders of photographs: odd sizes, portraits by their EXIF data, greys, small ones."""
    folder = tmp_path_factory.mktemp("photographs")
    for split, label in product(("train", "test"), ("cat", "dog")):
        (folder / split / label).mkdir(parents=True)
        for index, (height, width) in enumerate(SIDES):
            random = np.random.default_rng([index, split == "test", label == "dog"])
            pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
            exif = Image.Exif()
            exif[0x0112] = [1, 6, 8, 3][index % 4]
            image = Image.fromarray(pixels if index % 3 else pixels[..., 0])
            image.save(folder / split / label / f"{index}.{'png' if index % 2 else 'jpg'}", exif=exif)
    return folder


GEOMETRIES = [{"image_size": 72}, {"image_size": [48, 96]}, {"image_size": [80, 60], "augmentation": "pad_crop"}]
GEOMETRIES += [{"image_size": 24}, {"image_size": [24, 40], "augmentation": "resized_crop"}]


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=lambda geometry: re.sub(r"\W+", "-", str(geometry)))
@pytest.mark.parametrize("normalization", ["inside", "outside"])
def test_devices_see_what_was_measured(geometry, normalization, photographs):
    """The page's code and `unskip.prepare` give, bit by bit, the batches on which files are evaluated."""
    data = unskip.load_data(DataRecipe(name="image_folder", path=str(photographs), workers=0, **geometry))
    facts = {**data.info.to_json(), "normalization": normalization}
    measured = data.scaled() if normalization == "inside" else data
    seen = torch.cat([images for images, _ in measured.test_batches(5).epoch(0)]).cpu().numpy()
    names: dict[str, Any] = {}
    exec(prepare_block("python"), names)
    files = sorted((photographs / "test").rglob("*.*"))
    assert len(seen) == len(files) == 2 * len(SIDES)
    for image, file in zip(seen, files, strict=True):
        assert np.array_equal(names["prepare"](file, facts)[0], image), file
        assert np.array_equal(unskip.prepare(file, facts)[0], image), file


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_the_same_in_another_language(tmp_path):
    (tmp_path / "prepare.hpp").write_text(prepare_block("cpp"))
    (tmp_path / "main.cpp").write_text(
        """
        #include <cstdio>
        #include <cstdlib>
        #include "prepare.hpp"
        int main(int, char** given) {
          auto number = [&](int place) { return std::atoi(given[place]); };
          Image image{number(1), number(2), number(3), {}};
          image.pixels.resize(image.width * image.height * image.channels);
          if (std::fread(image.pixels.data(), 1, image.pixels.size(), stdin) != image.pixels.size()) return 1;
          auto values = prepare(image, {number(4), number(5)}, {number(6), number(7)});
          std::fwrite(values.data(), sizeof(float), values.size(), stdout);
        }
        """
    )
    program = str(tmp_path / "main")
    subprocess.run(
        ["g++", "-std=c++17", "-O1", "-Wall", "-Werror", "-o", program, str(tmp_path / "main.cpp")], check=True
    )
    for (height, width), cover, mode in product(SIDES, [(0, 0), (36, 50)], ["RGB", "L"]):
        shape = (height, width, 3) if mode == "RGB" else (height, width)
        image = Image.fromarray(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))
        how = Preprocessing(mode, (32, 44), cover if any(cover) else None)
        numbers = map(str, (width, height, len(mode), *how.size, *cover))
        found = subprocess.run([program, *numbers], input=image.tobytes(), capture_output=True, check=True).stdout
        levels = np.rint(255 * np.frombuffer(found, np.float32)).astype(int)
        off = np.abs(levels - how.pixels(image).ravel())
        assert off.max() <= 1, "versions of Pillow differ in which direction they scale first"
        assert off.mean() < 0.3, (height, width, cover, mode)


@pytest.mark.slow
def test_every_command_and_every_bare_environment_of_deploying(tmp_path, monkeypatch):
    """The commands on smaller runs; the Python without unskip, and without what its runtime does not bring."""
    monkeypatch.chdir(tmp_path)
    small = [
        "data.limit=400",
        "data.test_limit=100",
        "teacher.net=resnet14",
        "training.epochs=2",
        "measure.latency=false",
    ]
    unskip.run_recipe(unskip.load_recipe("demo", [*small, "methods={align_kd: {}}"]), Path("runs/demo"))
    unskip.run_recipe(unskip.load_recipe("demo", [*small, "methods={embedded_kd: {}}"]), Path("runs/family"))
    Image.fromarray(np.full((30, 40, 3), 200, np.uint8)).save("photograph.jpg")
    Path("prepare.py").write_text(prepare_block("python"))
    pages = [*DEPLOYING, ROOT / "docs" / "reference" / "deployed-file.md"]
    blocks = [block for page in pages for block in blocks_of(page) if block.language == "bash"]
    lines = [line for block in blocks for line in block.text.splitlines()]
    for line in lines:
        if line.startswith("python -c"):
            ended = subprocess.run(
                shlex.split(line.replace("python", sys.executable, 1)), capture_output=True, text=True
            )
            assert ended.stdout.strip() == "(1, 1, 8, 8)", (line, ended.stderr)
        elif line != "unskip run demo":
            arguments = shlex.split(line)[1:]
            result = CliRunner().invoke(app(), [*arguments, "--max-drop", "1"] if "--int8" in arguments else arguments)
            assert result.exit_code == 0, (line, result.output, result.exception)
    for block in blocks_of(RUN_A_FILE):
        if block.language == "python" and "prepare.py" not in block.text:
            kept = {name for name in ("torch", "onnxruntime", "openvino", "executorch", "ncnn") if name in block.text}
            absent = {"unskip", "torch", "torchvision", "onnx", "onnxruntime", "openvino", "executorch", "ncnn"} - kept
            code = f"import sys\nsys.modules.update(dict.fromkeys({sorted(absent)}))\n{block.text}"
            ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
            assert ended.returncode == 0, (block.line, ended.stderr)
            assert ended.stdout.split()[-1] in "0123456789", block.line


def test_there_are_commands_to_check():
    assert len(COMMANDS) > 10
    assert pages_with("python")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_can_be_given(command, workplace, monkeypatch):
    """Names and options exist; a run's recipe is resolved with its settings, and what is quick is run."""
    monkeypatch.chdir(workplace)
    words = shlex.split(command.partition(">")[0])[1:]
    if words == ["--help"]:
        assert CliRunner().invoke(app(), words).exit_code == 0
        return
    group = typer.main.get_command(app())
    if words[0].startswith("--"):
        assert words[0] in {option for parameter in group.params for option in parameter.opts}
        return
    assert words[0] in group.commands, command
    if {"NAME", "NET"} & set(words) or all(word.startswith("--") for word in words[1:]):
        known = {option for parameter in group.commands[words[0]].params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= {*known, "--help"}
        return  # a placeholder stands for the argument, or the command is only mentioned
    params = group.commands[words[0]].make_context(words[0], words[1:]).params
    if words[0] == "run" and words[1:]:
        recipe, folder = asked_recipe(
            params["recipe"],
            teacher=params["teacher"],
            methods=params["methods"],
            data=params["data"],
            settings=params["settings"] or (),
        )
        assert find_net(recipe.teacher.net)
        assert params["recipe"] in named_recipes() or Path(params["recipe"] or ".").exists()
        assert folder.parent == Path("runs")
    elif words[0] == "inspect" and params["target"]:
        assert configured(params["target"])  # compiling takes minutes
    elif words[0] in ("methods", "recipes", "nets", "inspect"):
        result = CliRunner().invoke(app(), words)
        assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    "block", [b for b in BLOCKS if b.language == "console"], ids=lambda b: f"{b.page.name}:{b.line}"
)
def test_a_commands_output_is_as_shown(block):
    command, *shown = block.text.splitlines()
    output = CliRunner().invoke(app(), shlex.split(command.removeprefix("$ unskip "))).output
    left = " ".join(output.split())
    for part in "\n".join(shown).split("...\n"):  # what stands for any number of lines
        _, found, left = left.partition(" ".join(part.removesuffix("...").split()) or " ")
        assert found, part


def test_targets_and_scripts_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for line in LINES:
        words = line.split()
        if words[0] == "make":
            assert set(words[1:]) <= targets, line
        if words[0] == "python" and words[1].endswith(".py"):
            assert (ROOT / words[1]).is_file(), line


def anchors_of(page: Path) -> set[str]:
    """The anchors of a page's headings, as code hosts make them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_paths_lead_somewhere(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link:
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        assert target.exists(), link
        assert not anchor or anchor in anchors_of(target), link
    for path in re.findall(r"`((?:src|tests|docs|recipes|benchmarks)/[\w./-]*)`", text):
        assert (ROOT / path).exists(), path
    for name in re.findall(r"`unskip\.(\w+)", text):
        assert name in unskip.__all__ or (ROOT / "src" / "unskip" / name).exists(), name


@pytest.mark.parametrize("name", [name for name in GENERATED if "counts" not in name])  # in papers/test_counts.py
def test_a_generated_page_is_up_to_date(name):
    assert (ROOT / "docs" / name).read_text() == GENERATED[name](), "run python docs/generate.py"


DEVICES = json.loads((ROOT / "docs" / "devices.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES["devices"])
@pytest.mark.parametrize("plan", ["", "without_shortcuts"])
def test_a_figure_of_the_devices_page_is_what_the_compiler_says(device, plan):
    pytest.importorskip("ethosu")
    about = dict(DEVICES["devices"][device])
    (target,) = find_targets(["+".join(filter(None, ("resnet20", plan)))])
    estimate = estimate_untrained(target.net.spec, target.input_shape, configured(about.pop("target"), about))
    figures = DEVICES["nets"]["resnet20"]["plans"][plan][device]
    assert estimate.cycles == pytest.approx(figures["cycles"], rel=0.02)
    assert estimate.memory_bytes["sram"] == pytest.approx(figures["sram"], rel=0.02)


def test_the_devices_page_takes_the_best_of_the_plans_asked():
    figures = {"": 8, "without_shortcuts": 10, "with_lean_stem": 4}
    plans = {plan: {"device": {"cycles": cycles, "sram": 1}} for plan, cycles in figures.items()}
    devices = DEVICES_PAGE["Devices"]({"devices": {"device": {}}, "nets": {"net": {"plans": plans}}})
    assert devices.best("net", "device") == "with_lean_stem"
    assert devices.ratio("net", "without_shortcuts", "device", "cycles") == 0.8
    assert devices.ratio("net", "unknown", "device", "cycles") is None


QUICK = ("torchvision:resnet18", "torchvision:squeezenet1_1", "torchvision:googlenet", "timm:seresnet18")


@pytest.mark.parametrize(
    "source",
    [pytest.param(source, marks=[] if source in QUICK else pytest.mark.slow) for source in NETWORKS["sources"]()],
)
def test_the_line_of_a_network_is_up_to_date(source):
    assert NETWORKS["row"](source) in (ROOT / "docs" / "reference" / "networks.md").read_text().splitlines(), (
        "run python docs/networks.py"
    )


def test_the_memory_table_is_the_forecast():
    text = (ROOT / "docs" / "explanation" / "shortcuts-cost.md").read_text()
    rows = re.findall(r"^\| ResNet-(\d+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+)x \|$", text, re.M)
    assert len(rows) == 3
    for depth, *figures in rows:
        with torch.device("meta"):
            net = unskip.make_net(f"resnet{depth}")
        peaks = [unskip.forecast(n, (3, 224, 224)).peak_bytes / MIB for n in (net, unskip.edits.without_shortcuts(net))]
        assert figures == [f"{value:.2f}" for value in (*peaks, peaks[0] / peaks[1])], depth


OF_A_RUN = {records.Run, records.Data, records.Net, records.Epoch, records.EightBits}
EVERY_RECORD = [getattr(records, name) for name in records.__all__]
OF_A_SHRINK = {
    each for each in EVERY_RECORD if each.__module__ in (records.Shrink.__module__, records.Answers.__module__)
}
OF_PAST_RUNS = {each for each in EVERY_RECORD if each.__module__ == records.PastRuns.__module__}
OF_A_RUN |= {each for each in OF_PAST_RUNS if isinstance(each, type)}
OF_A_STUDY = {each for each in EVERY_RECORD if each.__module__ == records.Study.__module__}
OF_AN_ANALYSIS = {records.RunAnalysis}
OF_A_COMPARISON = {each for each in EVERY_RECORD if isinstance(each, type)}
OF_A_COMPARISON -= OF_A_RUN | OF_A_SHRINK | OF_A_STUDY | OF_AN_ANALYSIS


@pytest.mark.parametrize(
    ("page", "described"),
    [
        ("run-folder", OF_A_RUN),
        ("bench-json", OF_A_COMPARISON),
        ("shrink-json", OF_A_SHRINK),
        ("study-results", OF_A_STUDY),
        ("analysis-json", OF_AN_ANALYSIS),
    ],
)
def test_every_field_of_the_records_is_described(page, described):
    text = (ROOT / "docs" / "reference" / f"{page}.md").read_text()
    for record in described:
        for field in record.model_fields:
            assert f"`{field}`" in text, f"{record.__name__}.{field}"


def test_the_recipes_that_a_page_names_exist():
    found = [name for page in PAGES for name in re.findall(r"recipe\s+`([\w-]+)`", page.read_text())]
    assert found
    assert set(found) <= set(named_recipes())


def test_the_hours_of_a_training_follow_from_the_rates():
    """The table's rule, and rates that come from the figures of the results pages."""
    text = (ROOT / "docs" / "how-to" / "time.md").read_text()
    rows = re.findall(r"\| ([\d,]+) \| ([\d,]+) \| (\d+) \| ([\d.]+) \|$", text, re.MULTILINE)
    assert len(rows) == 7
    rates = []
    for rate, images, epochs, hours in rows:
        rates.append(float(rate.replace(",", "")))
        taken = float(images.replace(",", "")) * float(epochs) / rates[-1] / 3600
        assert float(hours) == pytest.approx(taken, rel=0.05), rate
    speed = (ROOT / "docs" / "results" / "training-speed.md").read_text()
    steps = dict(re.findall(r"^\| (layers|pixels) [\d, ]+ \| ([\d,]+(?:, [\d,]+)*) \|", speed, re.MULTILINE))
    layers, pixels = ([float(ms.replace(",", "")) for ms in steps[what].split(", ")] for what in ("layers", "pixels"))
    assert rates[:4] == [round(64_000 / ms) for ms in (*layers[:3], pixels[2])]
    alignkd = (ROOT / "docs" / "results" / "alignkd.md").read_text()
    (seconds,) = re.findall(r"^\| `align_kd` \| 71.34 .* \| (\d+) \|", alignkd, re.MULTILINE)
    assert rates[4] == round(8 * 15_000 / float(seconds))
    assert [f"{rate:,.0f}" for rate in rates[5:]] == [
        re.findall(rf"^\| batch {size} \| [\d,]+ \| [\d,]+ \| ([\d,]+) \|", speed, re.MULTILINE)[0]
        for size in (128, 512)
    ]


def test_the_readme_is_one_screen():
    assert len((ROOT / "README.md").read_text().split()) < 600
