"""``python -m oqkit`` is the command ``oq``."""

from oqkit.cli import main

raise SystemExit(main())
