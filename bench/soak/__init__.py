"""Clusters opened, used and closed again and again: nothing may stay, and no end may be slow."""
