"""Networks, one file a family.

A file has `build(variant, num_classes)` and HEAD, the name of a layer whose width tells the number of
classes, a classifier's last one. Where that layer has outputs beside the classes, HEAD_BESIDE says how many;
SIDE_MULTIPLE is what height and width of the input must be multiples of, where they must.
Another package can announce such a module in the entry point group `edgekit.networks` under the family's
name.

A network may have `training_keys`, keys of its state dict that inference does not use and weights may lack,
and `computed_keys`, keys that weights may have although the network computes the values itself.
A layer may have `fuse()`, which replaces what only training needs by what computes the same; exporting calls
it. `magnifies_rounding` is True where random weights must be chosen so that it is not, as for a deep network
without shortcuts.
A detector has `score_layers()`, the layers whose first outputs are logits of the classes. `probabilities` is
the number of a network's first outputs that lie between 0 and 1 by a sigmoid.
"""
