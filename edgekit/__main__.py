"""`python -m edgekit`."""

import os
import sys

# `-m` puts the user's directory first on the path: a msgspec.py there would be taken for the package.
if sys.path and os.path.exists(sys.path[0]) and os.path.samefile(sys.path[0], "."):
    del sys.path[0]

from edgekit.cli.root import main

if __name__ == "__main__":
    main()
