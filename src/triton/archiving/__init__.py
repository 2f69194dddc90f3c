"""The archiver as a process: evidence, expiry and the audit's keys put together, and how far it has come."""
