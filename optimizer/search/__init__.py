"""The search: which settings are tried, at which CRFs, and what is proved of the winner."""
