-- Declares the new epoch of a partition's log.
INSERT INTO log_epochs (partition, epoch, previous_epoch, common, lost_until, log_end, adopted_by, reason)
VALUES (%(partition)s, %(epoch)s, %(previous)s, %(common)s, %(lost_until)s, %(log_end)s, %(by)s, %(reason)s)
