"""A whole cluster of processes on this machine: started, watched, shown, ended."""
