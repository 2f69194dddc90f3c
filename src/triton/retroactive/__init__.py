"""The test bed for a new version of an actor: recorded inputs of past jobs, run again in isolation.

`choosing` says which jobs, `recorded` what their history holds, `trial` runs one in a process of its own that
`isolation` closes off, `running` drives that process, `difference` compares. Nothing is written anywhere.
"""
