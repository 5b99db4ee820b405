"""Clients: what users hold. The core decides, the shells do the I/O."""
