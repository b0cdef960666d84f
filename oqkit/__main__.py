"""``python -m oqkit`` is the command ``oq``."""

import sys

if not sys.flags.safe_path:  # `-m` puts the current folder first: what lies there is to shadow nothing
    sys.path.append(sys.path.pop(0))

from oqkit.cli.main import main

sys.exit(main())
