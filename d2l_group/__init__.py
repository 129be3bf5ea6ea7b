"""The processes of a group that trains together (12.7): what `d2l.launch` starts them as.

A scheduler, servers and workers, as in the paper that 12.7 describes. It is a package of its own,
and only `d2l_group.server` needs MXNet: a process of a group is there at once, and a worker has
imported nothing before its script does.

- `messages`: what they say to one another, and how each knows who said it
- `scheduler`: who is there, who waits for whom, and when that has no end
- `member`: a worker's or a server's place in its group
- `server`: parameters and their optimizer
"""
