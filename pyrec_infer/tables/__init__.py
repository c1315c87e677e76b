"""Tables of items: records of bytes, and maps from ids to their rows."""
