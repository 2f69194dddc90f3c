"""What `triton demo` shows: documents made from the project's own, and the board they run on."""
