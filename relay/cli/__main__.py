"""`python -m relay.cli`: the same as the console script `relay`."""

import sys

from relay.cli.main import main

sys.exit(main())
