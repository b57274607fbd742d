"""The networks, one file a family.

A file has `build(variant, num_classes)` and HEAD, the name of the network's last linear layer. A family of
another package is such a module, announced in the entry point group `edgekit.networks` by the family's name.
"""
