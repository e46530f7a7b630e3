"""The papers' tables as studies: every printed figure has its place, and what is computed from them agrees."""

import itertools
from collections import Counter, defaultdict

import pytest

from unskip.listing import named_studies
from unskip.recipe_nets import check_nets
from unskip.study.cells import cells_of
from unskip.study.form import combinations, filled
from unskip.study.printed import METRICS, printed_facts
from unskip.study.reading import load_study
from unskip.study.readings import readings_of

G, GROUPS = ("G1", "G2", "G4", "G8", "G16"), ("g2", "g4", "g8", "g16")
TABLES = {1: "ResNet18", 2: "MobileNetV2", 3: "WRN-22x2", 4: "WRN-22x10", 5: "WRN-28x2", 6: "WRN-40x2"}
ROUNDING = 0.0101  # points: two rounded figures and their rounded difference


def fact_of(keys):
    """The number of the one printed fact that has these keys."""
    found = [i for i, fact in enumerate(printed_facts()) if all(fact[key] == text for key, text in keys.items())]
    assert len(found) == 1, keys
    return found[0]


def places_of(name):
    """What a study reads: the number of a printed fact for each (row, column)."""
    form = load_study(name).form
    places, columns = {}, defaultdict(dict)
    for grid in form.grids:
        for labels, row in itertools.product(combinations(grid), grid.rows):
            place = filled(row.row, labels), filled(row.column or "", labels)
            columns[place[0]][place[1]] = None
            if row.printed is not None:
                own = {key: text and filled(text, labels) for key, text in row.printed.items()}
                places[place] = fact_of({"metric": METRICS[row.value or form.value]} | form.printed | own)
    for row, derived in form.derived.items():
        for column in columns[derived.minus] if derived.printed else ():
            own = {key: text and filled(text, {"column": column}) for key, text in derived.printed.items()}
            places[row, column] = fact_of(form.printed | own)
    return places


def test_every_printed_figure_stands_in_one_place_of_one_study():
    read = Counter(fact for name in named_studies() for fact in places_of(name).values())
    assert read == Counter(range(len(printed_facts())))
    assert len(read) == 634


@pytest.mark.parametrize(("table", "net"), TABLES.items())
def test_demystification_has_the_papers_grid(table, net):
    name = f"demystification-table{table}"
    cells = cells_of(load_study(name), [0], named_studies()[name].parent).cells.values()
    distilled = {(c.labels["teacher"], c.labels["student"]) for c in cells if "kd" in c.recipe.methods}
    assert distilled == {*itertools.product(G, GROUPS), *itertools.product(GROUPS, G[1:])}
    alone = [c for c in cells if "ce" in c.recipe.methods and c.recipe.training.epochs == 120]
    assert sorted(c.labels["net"] for c in alone) == sorted([*GROUPS, *G[1:]])
    for cell in cells:
        teacher = cell.labels.get("teacher", cell.labels.get("net"))
        student = cell.labels.get("student", cell.labels.get("net"))
        assert cell.recipe.teacher.edits == (grouped(teacher),)
        assert cell.recipe.student.edits == (grouped(student), {"without_shortcuts": {"keep": [], "only": []}})
        assert net.lower() in cell.recipe.teacher.net.replace("-cifar", "")
        assert cell.recipe.teacher.net == cell.recipe.student.net
        assert cell.recipe.training_of("teacher").epochs == 120


def grouped(label):
    groups, channels = (int(label[1:]), None) if label[0] == "g" else (None, int(label[1:]))
    return {"with_grouped_convs": {"groups": groups, "channels_per_group": channels}}


@pytest.mark.parametrize("table", TABLES)
def test_demystifications_printed_drops_and_gains_follow_from_its_printed_cells(table):
    printed = {
        place: printed_facts()[fact]["value"] for place, fact in places_of(f"demystification-table{table}").items()
    }
    columns = [column for row, column in printed if row == "R"]
    assert sorted(columns) == sorted([*GROUPS, *G[1:]])
    for column in columns:
        drop = printed["R", column] - printed["NR", column]
        best = max(value for (row, at), value in printed.items() if row.startswith("from R-") and at == column)
        assert printed["accuracy drop", column] == pytest.approx(drop, abs=ROUNDING)
        assert printed["distillation gain", column] == pytest.approx(best - printed["R", column], abs=ROUNDING)


def test_thirty_of_the_printed_gains_are_negative():
    gains = [fact["value"] for fact in printed_facts() if fact["metric"] == "distillation_gain"]
    assert (len(gains), sum(gain < 0 for gain in gains)) == (48, 30)


def test_a_net_by_itself_is_one_training_for_every_pair_that_prints_it():
    study = load_study("ekd-table1")
    cells = cells_of(study, [0], named_studies()["ekd-table1"].parent)
    assert len(cells.cells) == 2 * (7 + 3), "seven pairs, and the three nets that are no pair's full-net, on two sets"
    runs = defaultdict(set)
    for reading in readings_of(study, cells).entries:
        if reading.row == "cifar10 individual":
            runs[reading.column.split()[0]] |= {cells.cells[run].recipe.teacher.net for run, _ in reading.sources[0]}
    assert runs["ResNet-20"] == {"resnet20"}
    assert runs["ResNet-32"] == {"resnet32"}
    assert runs["ResNet-16"] == {"resnet20"}, "beside a teacher that is trained anyway"


@pytest.mark.parametrize("name", [f"stagewise-figure{figure}" for figure in (3, 4)])
def test_stagewise_has_baselines_of_a_phase_and_of_all_phases(name):
    cells = cells_of(load_study(name), [0], named_studies()[name].parent).cells.values()
    epochs = Counter((label, c.recipe.training.epochs) for c in cells if not c.is_before for label in c.recipe.methods)
    assert epochs["stagewise_kd", 600] == epochs["no_teacher", 600] == epochs["no_teacher", 100] == 5 * 3


def test_teachers_of_stagewise_figure_4_have_seen_all_images():
    cells = cells_of(load_study("stagewise-figure4"), [0], named_studies()["stagewise-figure4"].parent).cells
    for cell in cells.values():
        if cell.is_before:
            assert cell.recipe.data.fraction is None
            continue
        assert cell.recipe.data.fraction == 0.25
        [before] = cell.needs
        assert cells[before].recipe.data.path == cell.recipe.data.path
        assert cell.recipe.teacher.weights.endswith(f"{before}/nets/teacher.safetensors")


@pytest.mark.parametrize("name", named_studies())
def test_the_small_form_is_small_and_says_how_long_it_takes(name):
    quick = load_study(name).form.quick
    assert quick.minutes
    for cell in cells_of(load_study(name, quick=True), [0], named_studies()[name].parent).cells.values():
        assert max(cell.recipe.training.epochs, cell.recipe.training_of("teacher").epochs) <= 100
        assert cell.recipe.data.limit <= 15_000


@pytest.mark.slow
@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize("name", named_studies())
def test_the_nets_of_every_study_can_be_built(name, quick, tmp_path):
    """Every teacher and every student, with its methods, once."""
    seen = set()
    for cell in cells_of(load_study(name, quick=quick), [0], tmp_path).cells.values():
        recipe = cell.recipe
        teacher = str((recipe.teacher.net, recipe.teacher.options, recipe.teacher.edits))
        student = str((recipe.student, sorted(recipe.methods.items())))
        if not {teacher, student} <= seen:
            check_nets(recipe)
        seen |= {teacher, student}
