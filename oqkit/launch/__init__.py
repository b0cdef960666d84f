"""Workers on this machine and on engines that are there already."""
