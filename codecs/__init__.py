"""Reads clips and runs the encoders. The only package that imports PyAV."""
