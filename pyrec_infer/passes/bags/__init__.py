"""What the patterns of embedding bags share: no pattern itself."""
