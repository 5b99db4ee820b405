"""Real processes are killed and stopped while they work; what came of it is judged."""
