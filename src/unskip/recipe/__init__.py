"""One run as frozen, strict data: YAML in, YAML out.

A recipe says everything that decides a run's result: data, teacher, student, methods, training, what is exported and
measured, and the seed. Unknown keys and wrong types are errors that name the nearest right key.
"""

from unskip.listing import named_recipes
from unskip.recipe.data import DataRecipe
from unskip.recipe.reading import changed_tree, load_recipe, load_tree, parse_edits, parse_settings, recipe_from
from unskip.recipe.sections import Edits, MeasureRecipe, Recipe, StudentRecipe, TeacherRecipe, digest
from unskip.recipe.task import TaskRecipe
from unskip.recipe.training import (
    SGD,
    Adam,
    AdamW,
    Constant,
    Cosine,
    Exponential,
    OneCycle,
    Optimizer,
    Schedule,
    Step,
    TrainingRecipe,
)

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Constant",
    "Cosine",
    "DataRecipe",
    "Edits",
    "Exponential",
    "MeasureRecipe",
    "OneCycle",
    "Optimizer",
    "Recipe",
    "Schedule",
    "Step",
    "StudentRecipe",
    "TaskRecipe",
    "TeacherRecipe",
    "TrainingRecipe",
    "changed_tree",
    "digest",
    "load_recipe",
    "load_tree",
    "named_recipes",
    "parse_edits",
    "parse_settings",
    "recipe_from",
]
