-- Makes the row of a life of the log that the archive declares; what was lost before it, nobody knows any more.
INSERT INTO log_epochs (partition, epoch, previous_epoch, common, lost_until, log_end, adopted_by, reason)
VALUES (%(partition)s, %(epoch)s, %(previous)s, %(common)s, %(common)s, %(common)s, 'system', 'found in the archive')
ON CONFLICT DO NOTHING
