"""A ladder for each title, against one setting for all."""
