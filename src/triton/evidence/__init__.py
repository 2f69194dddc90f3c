"""Evidence: the tree over the log, its signed heads, and the segments that hold the log for ever."""
