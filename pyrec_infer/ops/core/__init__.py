"""What operators are made of, the registry, and what asks it: inference and interpreter."""
