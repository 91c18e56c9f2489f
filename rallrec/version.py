"""The package's version; part of every ``metrics.json``."""

VERSION = "0.1.0"
