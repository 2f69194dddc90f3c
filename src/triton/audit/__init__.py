"""What an auditor asks: why, as of when, what changed, and who looked; and what is held and kept."""
