"""The keeper: a small process beside each worker process, for when that one's interpreter is kept busy.

A C call that does not let go of the interpreter stops every thread of its process, the one that extends
leases too. The keeper sees that its parent's beats stay away, and extends the leases in its place, as long
as the parent lives and is not stopped. It ends the parent when a job goes on past its time limit like that.
"""
