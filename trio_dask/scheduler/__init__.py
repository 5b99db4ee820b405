"""The scheduler: decides what runs where, and never runs or opens any of it."""
