"""Help texts of the options that are made from the fields of an evaluator's configuration."""

from mixq_rl.datasets import datasets

__all__ = ["BITS_OF", "DATASET", "DEVICE", "EVALUATOR", "FOLD", "MAX_SIZE", "METRIC", "OBJECTIVE", "PIN", "SCHEME"]

DATASET = (
    f"Dataset: {', '.join(datasets)}; rmat-SCALE for a generated power-law graph of 2^SCALE nodes, SCALE 8 to 24; "
    "tu:NAME for any other dataset of TUDataset; or the path of a file with your own graph or graphs (.npz, or .pt "
    "with a dictionary of tensors or a Data of PyTorch Geometric)."
)
FOLD = (
    "Number of the split, from 0, for datasets with several splits: TUDataset, Chameleon, Squirrel and files with "
    "several graphs have 10, CSL has 5; a file has as many as its masks have columns."
)
METRIC = (
    "Measure that selects networks, in points of 100. accuracy, balanced-accuracy: for one class a node or graph. "
    "roc-auc: one class against the others, mean; with several labels, mean of the labels."
)
OBJECTIVE = (
    "The cost to save: bit operations, time or size. Time is measured on this machine under its present load, so that "
    "two runs with the same seed differ. Size is that of the network's files."
)
PIN = "Fix the bit-width of a component, or of all that match a pattern: conv1.weight=8, conv*.input=4."
BITS_OF = (
    "Bit-widths that a component may have, or all that match a pattern, instead of --bits: conv*.adjacency=4,8. All "
    "patterns that match a component count."
)
MAX_SIZE = "Greatest size of the network's files: 64KB (64,000 bytes), 64KiB (65,536), 1.5MB, or a number of bytes."
EVALUATOR = (
    "Weights with which the search evaluates an allocation. supernet: weights trained once for all allocations. "
    "fine-tune: weights fine-tuned for each allocation for a few epochs, which is slow. post-training: the float32 "
    "weights."
)
SCHEME = (
    "How scales are found. lsq: learned. a2q: several learned scales for each component, of which each node takes the "
    "nearest. The others are observed in training; degree-quant protects nodes by their degree."
)
DEVICE = "Device of training and execution: cpu, cuda, cuda:1, or auto for a GPU if torch sees one."
