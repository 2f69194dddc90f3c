"""The embedded stack: real engines from wheels, and every process of the platform, under one folder."""
