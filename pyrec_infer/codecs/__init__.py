"""How rows of numbers are stored in fewer bytes."""
