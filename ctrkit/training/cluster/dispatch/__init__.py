"""Who trains which batch: the chief decides, the other roles ask."""
