"""Pure edits: a network in, a new network out. A file is an edit of its name; what several need is in ``_files``."""

from unskip.surgery._blocks import removal_of, residual_blocks
from unskip.surgery._build import EDITS, Edit, build, edit_arguments, edited
from unskip.surgery._edit import edit
from unskip.surgery._fitting import FittedNet, fit_without_shortcuts
from unskip.surgery._initialisation import tiny_scales
from unskip.surgery._pruning import can_prune
from unskip.surgery._sub_nets import extract, with_recalibrated_statistics
from unskip.surgery.at_depth import at_depth
from unskip.surgery.fold_batchnorm import fold_batchnorm
from unskip.surgery.fold_dirac import fold_dirac
from unskip.surgery.with_depth_statistics import with_depth_statistics, without_depth_statistics
from unskip.surgery.with_dirac_convs import with_dirac_convs
from unskip.surgery.with_fading_shortcuts import with_fading_shortcuts, without_faded_shortcuts
from unskip.surgery.with_grouped_convs import with_grouped_convs
from unskip.surgery.with_lean_stem import with_lean_stem
from unskip.surgery.with_pruned_channels import with_pruned_channels
from unskip.surgery.with_shortened_shortcuts import can_be_shortened, with_shortened_shortcuts
from unskip.surgery.without_shortcuts import without_shortcuts
from unskip.surgery.without_shortcuts_exactly import without_shortcuts_exactly

__all__ = [
    "EDITS",
    "Edit",
    "FittedNet",
    "at_depth",
    "build",
    "can_be_shortened",
    "can_prune",
    "edit",
    "edit_arguments",
    "edited",
    "extract",
    "fit_without_shortcuts",
    "fold_batchnorm",
    "fold_dirac",
    "removal_of",
    "residual_blocks",
    "tiny_scales",
    "with_depth_statistics",
    "with_dirac_convs",
    "with_fading_shortcuts",
    "with_grouped_convs",
    "with_lean_stem",
    "with_pruned_channels",
    "with_recalibrated_statistics",
    "with_shortened_shortcuts",
    "without_depth_statistics",
    "without_faded_shortcuts",
    "without_shortcuts",
    "without_shortcuts_exactly",
]
