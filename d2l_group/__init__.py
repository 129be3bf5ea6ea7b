"""The processes of a group that trains together (12.7), which `d2l.launch` starts.

There is a scheduler, and there are servers and workers, as in the paper that section 12.7 explains.
This is a package of its own because only `d2l_group.server` needs MXNet: other processes start at
once, and a worker has not imported MXNet before its script does.

- `messages`: messages between processes that prove to one another that they belong to the group
- `scheduler`: knows which processes are there, and ends the group if one waits in vain
- `member`: a worker or a server as a member of its group
- `server`: keeps parameters and runs their optimizer
"""
