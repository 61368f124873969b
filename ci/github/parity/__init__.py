"""Is a job in Actions the same as its command on a machine with that hardware?"""
