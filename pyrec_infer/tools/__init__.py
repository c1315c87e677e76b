"""Tools around the engine: explaining plans."""
