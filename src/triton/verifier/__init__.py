"""The auditor's program, in one file that runs without Triton: `triton_verify.py`."""
