"""Networks, one file a family.

A file has `build(variant, num_classes)` and HEAD, the name of the network's last linear layer. Another
package can announce such a module in the entry point group `edgekit.networks` under the family's name.
"""
