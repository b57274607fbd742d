"""The program `edgekit`, and `python -m edgekit`."""

import os
import sys

# `-m` puts the user's directory first on the path: a msgspec.py there would be taken for the package.
if sys.path and os.path.exists(sys.path[0]) and os.path.samefile(sys.path[0], "."):
    del sys.path[0]

import atexit
import signal


def main() -> None:
    """Run a command; Ctrl-C while it is loaded ends it as later, and changes nothing once it has ended."""
    # Registered first, this runs last: what follows is Python's own end, which a signal would kill.
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
    try:
        from edgekit.cli.root import main as run

        run()
    except KeyboardInterrupt:
        from edgekit.errors import INTERRUPTED_EXIT_CODE

        sys.stderr.write("error: interrupted\n")
        sys.exit(INTERRUPTED_EXIT_CODE)


if __name__ == "__main__":
    main()
