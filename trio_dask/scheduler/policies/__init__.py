"""Where tasks go: pure functions that look at the tables and propose; the core acts."""
