"""Keras layers from packed ids to a click probability; those that take two sides broadcast a batch of one user."""

from ctrkit.layers.bucket_positions import BucketPositions
from ctrkit.layers.click_counts import ClickCounts
from ctrkit.layers.click_probability import ClickProbability
from ctrkit.layers.click_rates import ClickRates
from ctrkit.layers.columns import Columns
from ctrkit.layers.cross_network import CrossNetwork
from ctrkit.layers.field_embeddings import FieldEmbeddings
from ctrkit.layers.fm_interaction import FMInteraction
from ctrkit.layers.folds import fold_of
from ctrkit.layers.inputs import Inputs
from ctrkit.layers.known_rows import KnownRows
from ctrkit.layers.layout import Place, TableLayout
from ctrkit.layers.member_dense import MemberDense
from ctrkit.layers.member_mean import MemberMean
from ctrkit.layers.rarity import CountedIndex, rarities
from ctrkit.layers.ridge import Ridge
from ctrkit.layers.shard import cut, logical_weights, shard, splittable
from ctrkit.layers.sided_concat import SidedConcat
from ctrkit.layers.sided_dense import SidedDense
from ctrkit.layers.sided_sum import SidedSum
from ctrkit.layers.split_members import SplitMembers
from ctrkit.layers.split_sides import SplitSides

__all__ = [
    "BucketPositions",
    "ClickCounts",
    "ClickProbability",
    "ClickRates",
    "Columns",
    "CountedIndex",
    "CrossNetwork",
    "FMInteraction",
    "FieldEmbeddings",
    "Inputs",
    "KnownRows",
    "MemberDense",
    "MemberMean",
    "Place",
    "Ridge",
    "SidedConcat",
    "SidedDense",
    "SidedSum",
    "SplitMembers",
    "SplitSides",
    "TableLayout",
    "cut",
    "fold_of",
    "logical_weights",
    "rarities",
    "shard",
    "splittable",
]
