-- The lives that came before: each shares with its successor the positions up to `common`.
SELECT epoch, previous_epoch, common FROM log_epochs WHERE partition = %(partition)s
