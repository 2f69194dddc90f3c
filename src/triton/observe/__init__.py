"""What a process says of itself: its log, what was slow, its traces. Knows no broker, API or store."""
