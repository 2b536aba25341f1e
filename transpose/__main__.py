"""`python -m transpose`."""

import sys

from transpose.app.cli import main

if __name__ == "__main__":
    sys.exit(main())
