"""What passes of several tuples share."""
