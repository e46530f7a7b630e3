"""Settings of recipes, options of networks and options of commands."""

from collections.abc import Iterator

from hypothesis import strategies as st

from unskip.methods import METHODS, method_class
from unskip.recipe import Recipe, parse_edits, recipe_from
from unskip.search import Budget

from .harness import fuzz
from .values import NOT_A_NUMBER, NOT_AN_INTEGER, PLAIN, TEXTS

NOWHERE = ["--set", "data={name: image_folder, path: nowhere}"]  # so that what is right ends there too


def numbers(schema: dict, sections: dict, prefix: str) -> Iterator[tuple[str, dict]]:
    """Dotted keys of a schema's number fields, with what the schema says of them."""
    for name, field in schema.get("properties", {}).items():
        branches = field.get("anyOf") or field.get("oneOf") or [field]
        for branch in branches:
            owner = sections.get(branch.get("$ref", "").rpartition("/")[2])
            if owner is not None:
                kind = owner["properties"].get("name", {}).get("const")
                inner = {**owner, "properties": {k: v for k, v in owner["properties"].items() if k != "name"}}
                for key, found in numbers(inner, sections, f"{prefix}{name}."):
                    yield (
                        key,
                        {**found, "kinds": {**found.get("kinds", {}), **({f"{prefix}{name}": kind} if kind else {})}},
                    )
            elif branch.get("type") in ("integer", "number"):
                yield f"{prefix}{name}", branch


SCHEMA = Recipe.model_json_schema()
FIELDS = list(numbers(SCHEMA, SCHEMA["$defs"], ""))
FIELDS += [pair for name in METHODS for pair in numbers(method_class(name).model_json_schema(), {}, f"methods.{name}.")]


@st.composite
def wrong_number(draw: st.DrawFn) -> list[str]:
    """Settings that say a number field's value wrong: of another type, not finite, or outside of its bounds."""
    key, field = draw(st.sampled_from(FIELDS))
    outside = [
        *([field["minimum"] - 1] if "minimum" in field else []),
        *([field["exclusiveMinimum"], -1e300] if "exclusiveMinimum" in field else []),
        *([field["maximum"] + 1, 10**18] if "maximum" in field else []),
        *([field["exclusiveMaximum"], 1e300] if "exclusiveMaximum" in field else []),
    ]
    value = draw((NOT_AN_INTEGER if field["type"] == "integer" else NOT_A_NUMBER) | st.sampled_from(outside or ["x"]))
    return [*(f"{at}={{name: {kind}}}" for at, kind in field.get("kinds", {}).items()), f"{key}={value}"]


@fuzz(40, 700, settings=wrong_number())
def test_a_wrong_number_is_refused(world, settings):
    said = world.refused("run", *NOWHERE, *(word for setting in settings for word in ("--set", setting)))
    assert "nowhere does not exist" not in said, said


@fuzz(30, 500, setting=TEXTS)
def test_any_text_is_a_setting_or_a_sentence(world, setting):
    world.refused("run", f"--set={setting}", *NOWHERE)
    with world.sentence():
        parse_edits([setting])


KEYS = st.sampled_from(
    [*(key for key, _ in FIELDS), *Recipe.model_fields, "methods", "student.edits", "teacher.options"]
)


@fuzz(60, 700, key=KEYS, tail=st.sampled_from(["", ".x", ".name", ".0", "..", ".__class__"]), value=PLAIN)
def test_any_value_is_taken_or_refused(world, key, tail, value):
    tree: dict = {}
    node = tree
    *parents, last = f"{key}{tail}".split(".")
    for parent in parents:
        node[parent] = node = {}
    node[last] = value
    with world.sentence():
        recipe = recipe_from(tree)
        assert recipe == recipe_from(recipe.model_dump(mode="json"))


COMMANDS = [
    (["inspect", "resnet8"], ["--image-size", "--also"]),
    (
        ["fit-budget", "resnet8", "--no-latency"],
        ["--memory", "--macs", "--parameters", "--file-size", "--limit", "--threads"],
    ),
    (["fit-budget", "resnet8"], ["--latency-ratio", "--latency-ms", "--element", "--image-size"]),
    (
        ["bench", "resnet8"],
        ["--threads", "--batch", "--repeats", "--processes", "--image-size", "--device", "--runtime"],
    ),
    (["export", "nowhere"], ["--tolerance", "--max-drop", "--batch", "--calibration", "--images", "--normalization"]),
]
WRONG = [
    "nan",
    "inf",
    "-inf",
    "1e400",
    "-1",
    "0x",
    "",
    " ",
    "true",
    "10**9",
    "9" * 30,
    "1;2",
    "٣٫٥",
    "infMiB",
    "-4MiB",
    "\x1b[31m",
]


@fuzz(
    40,
    300,
    command=st.sampled_from(COMMANDS),
    which=st.integers(0, 9),
    value=st.sampled_from(WRONG) | TEXTS.filter(lambda t: not any(c.isdigit() for c in t)),
)
def test_options_of_commands(world, command, which, value):
    words, options = command
    world.refused(*words, f"{options[which % len(options)]}={value}")


QUANTITY = st.text("0123456789.+-eEkMGiB ", max_size=12) | TEXTS


@fuzz(60, 400, memory=QUANTITY, macs=QUANTITY)
def test_quantities(world, memory, macs):
    with world.sentence():
        assert all(limit >= 1 for limit in Budget({"memory": memory, "macs": macs}).most.values())
