"""``python -m pyrec_infer``."""

from pyrec_infer.cli import main

raise SystemExit(main())
