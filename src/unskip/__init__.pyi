# ruff: noqa: I001  (the groups and their headings are those of docs/reference/python.md)

# Networks and edits
from . import edits as edits
from .nets import NetSpec as NetSpec
from .nets import Residual as Residual
from .nets import StagedNet as StagedNet
from .nets import make_net as make_net
from .nets import parse as parse
from .own_code import allow_module as allow_module
from .surgery import build as build
from .weights import load_net as load_net
from .weights import save_net as save_net

# Distilling
from .data import load_data as load_data
from .methods import Method as Method
from .methods import Objective as Objective
from .methods import Phase as Phase
from .methods.align_kd import AlignKD as AlignKD
from .methods.ce import CE as CE
from .methods.embedded_kd import EmbeddedKD as EmbeddedKD
from .methods.fade_joint_rd import FadeJointRD as FadeJointRD
from .methods.fade_kd import FadeKD as FadeKD
from .methods.fit_kd import FitKD as FitKD
from .methods.fitnets import FitNets as FitNets
from .methods.joint_rd import JointRD as JointRD
from .methods.kd import KD as KD
from .methods.stagewise_kd import StagewiseKD as StagewiseKD
from .recipe import DataRecipe as DataRecipe
from .recipe import TrainingRecipe as TrainingRecipe
from .recipe import load_recipe as load_recipe
from .run import run_recipe as run_recipe
from .training import distill as distill
from .training import plain as plain

# Measuring and deploying
from .search import Budget as Budget
from .search import fit_budget as fit_budget
from .dataflow import forecast as forecast
from .dataflow import inventory as inventory
from .errors import UnskipError as UnskipError
from .evaluation import evaluate as evaluate
from .export import export_net as export_net
from .analyses import inspect_net as inspect_net
from .preprocessing import prepare as prepare
from .report import report_of as report_of
from .runtimes import read_metadata as read_metadata
