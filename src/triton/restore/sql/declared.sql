-- Whether an epoch was declared, and what was lost.
SELECT lost_until FROM log_epochs WHERE partition = %(partition)s AND epoch = %(epoch)s
