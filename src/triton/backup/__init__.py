"""A copy of a whole platform that is taken while jobs run, and from which it is made again.

What a copy holds is `manifest`; how one is taken, and in which order, `taking`; how a platform is made of it,
`restoring`. The others are one store each.
"""
