"""``python -m trio_dask`` is ``trio-dask``."""

from trio_dask.cli import main

raise SystemExit(main())
