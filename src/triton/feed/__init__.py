"""The live side of the log: one tailer per process and partition, a ring of ready frames, clients as
positions in it, and history for who comes from further back."""
