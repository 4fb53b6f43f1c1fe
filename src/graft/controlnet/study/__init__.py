"""Questions about the method, each answered by trainings that differ in one thing."""
