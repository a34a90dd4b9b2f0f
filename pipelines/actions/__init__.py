"""What tracked people and pictures do: windows of frames, a recurrent classifier, and events."""
