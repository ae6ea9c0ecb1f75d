"""python -m worldweave"""

import sys

from worldweave.cli import main

sys.exit(main())
