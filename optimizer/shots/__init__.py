"""A CRF for each shot, against one CRF."""
