"""`python -m edgekit`."""

from edgekit.cli.root import main

if __name__ == "__main__":
    main()
