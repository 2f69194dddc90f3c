-- Nobody holds a checkpoint of a database that came back: who did is of another server.
UPDATE checkpoints SET leased_until = '-infinity'
