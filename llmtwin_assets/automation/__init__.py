"""What makes the graph move by itself: conditions, sensors, jobs."""
