"""Thousands of mixed jobs, faults in random parts, and a checker of the log and the stores."""
